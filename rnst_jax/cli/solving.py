"""The slices of one scan, solved part by part; what is done is kept until all is written."""

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnst_jax.cli import interrupt, kspace, options
from rnst_jax.cli.progress import Progress
from rnst_jax.io.checkpoint import Checkpoint
from rnst_jax.io.prepare import Case

ON_CPU = 2
"""Slices at a time on a CPU: four take 5 % less time per slice, and an interrupted run loses twice as many."""

ON_ACCELERATOR = 16
"""Slices at a time on others: an H100 does 5,774 a minute so, 7,284 by 180 at a time, and a number of its own for every
scan would compile for every scan, which takes longer."""

LONG = 1000
"""Evaluations of a slice above which progress is told from within. Such a program calls back to Python, JAX keeps none
on the disk, and it may round otherwise: so the settings alone decide, lest --quiet or a folder change a bit."""


class Findings(NamedTuple):
    """What is told from the whole content scan, so that a slice comes out the same alone and with the others.

    Attributes:
        native: factor of the zero-filling: that of the settings, or `rnst_jax.denoise.native_factor`.
        told: whether the scan told it, and not the settings.
        edges: (2,) `rnst_jax.denoise.filter_edges`, along rows and columns; None if it cannot tell, or is not wanted.
        field: (B, h, w) the receive field, on what is solved; None if the settings want none.
    """

    native: float
    told: bool
    edges: np.ndarray | None
    field: np.ndarray | None

    def record(self) -> dict[str, Any]:
        """As data, for the sidecar."""
        edges = None if self.edges is None else [round(float(edge), 4) for edge in self.edges]
        return {"ZeroFilling": self.native if self.told else None, "FilterEdges": edges}


class Solved(NamedTuple):
    """All slices of a case.

    Attributes:
        result: a `rnst_jax.types.Result` of NumPy arrays.
        images: (B, H, W) whole slices, in [0, 1].
        found: what the whole scan told.
        compile_seconds: of this run.
        run_seconds: of all runs that had a part in it.
    """

    result: Any
    images: np.ndarray
    found: Findings
    compile_seconds: float
    run_seconds: float


def chunk(args: argparse.Namespace, case: Case, config: Any, device: Any) -> int:
    """Slices that are solved at a time: as asked for, or a number that all scans share, if so many fit.

    Raises:
        ValueError: they would take more memory than the device has.
    """
    from rnst_jax import memory

    if args.chunk:
        return memory.chunk(config, shape(case, config), args.chunk, device=device)
    fits = memory.chunk(config, shape(case, config), device=device)
    return min(fits, ON_CPU if device.platform == "cpu" else ON_ACCELERATOR)


def shape(case: Case, config: Any) -> tuple[int, int, int]:
    """(B, H, W) of what is solved: of the box of the heads where the config says so."""
    count, height, width = (case.crop(case.y) if config.crop else case.y).shape
    return count, height, width


def solve(
    args: argparse.Namespace,
    case: Case,
    config: Any,
    extractor: Any,
    measured: Any,
    kept: Checkpoint,
    planned: Mapping[str, Any],
) -> Solved:
    """Solve what is not kept of an earlier run.

    Args:
        args: of the command.
        case: what to solve.
        config: the settings.
        extractor: the feature network.
        measured: the case of k-space, or None.
        kept: the parts that are done.
        planned: of `rnst_jax.cli.plan.made`.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the parts that were done are kept.
    """
    import jax

    total, size = len(case.y), planned["settings"]["Chunk"]
    count = -(-total // size)
    done = {n: part for n in range(count) if (part := kept.load(n)) is not None}
    wanted = [n for n in range(count) if n not in done]
    compile_seconds = 0.0
    found = findings(case, config, measured)
    if done:
        options.say(args, f"{total - _slices(wanted, total, size)} of {total} slices are there already")
    if wanted:
        share = _slices(wanted, total, size) / total
        progress = Progress(round(planned["evaluations"] * share), args.quiet)
        options.say(args, planned["summary"])
        begun = time.perf_counter()
        within = planned["evaluations"] / total > LONG
        parts = _compile(args, case, config, extractor, progress if within else None, measured, found, size)
        compile_seconds = time.perf_counter() - begun
        options.say(args, f"compiled in {compile_seconds:.1f} s")
        told = "ends after this step; once more to end at once"
        with progress, interrupt.deferred(lambda: options.say(args, told)) as came:
            for n in wanted:
                begun = time.perf_counter()
                solved = jax.block_until_ready(parts.run(n))
                jax.effects_barrier()
                done[n] = _arrays(solved) | {"seconds": np.asarray(time.perf_counter() - begun)}
                kept.save(n, done[n])
                if not within:
                    progress(int(done[n]["evaluations"].sum()), float(np.mean(done[n]["score"])))
                if came():
                    left = _slices([n for n in wanted if n not in done], total, size)
                    raise interrupt.Interrupted(
                        f"interrupted; {total - left} of {total} slices are kept, give --resume to go on"
                    )
    joined = {name: np.concatenate([done[n][name] for n in range(count)]) for name in done[0] if name != "seconds"}
    result = _result(joined)
    images = np.asarray(result.image, dtype=np.float32)
    seconds = sum(float(part["seconds"]) for part in done.values())
    return Solved(result, case.uncrop(images) if config.crop else images, found, compile_seconds, seconds)


def _slices(parts: Sequence[int], total: int, size: int) -> int:
    """How many slices these parts hold."""
    return sum(min(size, total - n * size) for n in parts)


def _compile(
    args: argparse.Namespace,
    case: Case,
    config: Any,
    extractor: Any,
    progress: Progress | None,
    measured: Any,
    found: Findings,
    size: int,
) -> Any:
    """The compiled reconstruction of a case."""
    import jax

    from rnst_jax import api

    y, style, given = arguments(case, config, measured, found)
    return api.compile_parts(
        y,
        style,
        extractor=extractor,
        chunk=size,
        key=jax.random.key(args.seed),
        progress=progress,
        **given,
    )


def arguments(case: Case, config: Any, measured: Any, found: Findings) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """What `rnst_jax.reconstruct` takes of a case: y, style and options; the box of the heads where the config says so.

    Args:
        case: what to solve.
        config: the settings.
        measured: the case of k-space, or None.
        found: of `findings`.
    """
    crop, crop_style = (case.crop, case.crop_style) if config.crop else (np.asarray, np.asarray)
    y, model = kspace.data(measured, found.field) if measured else (crop(case.y), {"field": found.field})
    given = {
        "preset": dataclasses.replace(config, native=found.native),
        "edges": found.edges,
        "mask": crop(case.mask),
        "style_mask": crop_style(case.style_mask),
        "whole_heads": case.style_has_scalp,
        # the outline of a brain that was cut out of its head says nothing of a rim
        "rim": np.zeros_like(crop(case.mask)) if case.stripped else None,
        "sigma": case.noise / (case.scaling.hi - case.scaling.lo),
    }
    return y, crop_style(case.style), given | model


def findings(case: Case, config: Any, measured: Any = None) -> Findings:
    """What the whole content scan tells, whichever slices were asked for.

    Args:
        case: what to solve.
        config: the settings.
        measured: the case of k-space, or None.
    """
    import jax.numpy as jnp

    from rnst_jax import denoise

    crop = case.crop if config.crop else np.asarray
    native, edges, field = config.native, None, None
    if native == 0 or config.whitening:
        images, masks = (jnp.asarray(crop(each)) for each in case.whole)
        native = native or denoise.native_factor(images, masks)
        if native > 1 and config.whitening and not measured:
            edges = denoise.filter_edges(images, masks, native)
    if config.masked and config.bias_correction:
        # a brain that was cut out of its head has mostly been corrected before
        wanted = case.style_has_scalp and not case.stripped
        field = crop(case.receive_field if wanted else np.ones_like(case.y))
    return Findings(native, config.native == 0, edges, field)


_TRACE = "trace."


def _arrays(result: Any) -> dict[str, np.ndarray]:
    """A result as named arrays."""
    own = ("image", "status", "steps", "evaluations", "score")
    traces = {f"{_TRACE}{name}": np.asarray(values) for name, values in result.trace.items()}
    return {name: np.asarray(getattr(result, name)) for name in own} | traces


def _result(arrays: Mapping[str, np.ndarray]) -> Any:
    """The result of named arrays."""
    from rnst_jax.types import Result

    own: dict[str, Any] = {name: values for name, values in arrays.items() if not name.startswith(_TRACE)}
    trace: Any = {name.removeprefix(_TRACE): values for name, values in arrays.items() if name.startswith(_TRACE)}
    return Result(**own, trace=trace)


def outcome(case: Case, solved: Solved) -> tuple[list[dict[str, Any]], list[int]]:
    """Per slice of the output what became of it, and the numbers of those that failed."""
    from rnst_jax.types import Status

    rows, failed, lane = [], [], 0
    result = solved.result
    for number, head in zip(case.numbers, case.heads, strict=True):
        if not head:
            rows.append({"Slice": number, "Status": "copied"})
            continue
        finite = bool(np.isfinite(solved.images[lane]).all())
        state = Status(int(result.status[lane])) if finite else Status.NONFINITE
        if state == Status.NONFINITE:
            failed.append(number)
        rows.append(
            {
                "Slice": number,
                "StyleSlice": case.style_numbers[lane],
                "Status": state.name.lower(),
                "Score": float(result.score[lane]),
                "Steps": int(result.steps[lane]),
                "Evaluations": int(result.evaluations[lane]),
            }
        )
        lane += 1
    return rows, failed
