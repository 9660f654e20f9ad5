"""How well an evaluation of the style loss uses the device, and where the preset's time goes."""

import collections
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rnst_jax import api
from rnst_jax.bench import cases, record
from rnst_jax.style import StyleLoss

KEYS = ("batch", "size", "precision", "platform", "device")
HEAD = ("batch", "size", "precision", "GFLOP / evaluation", "ms / evaluation", "GFLOP/s", "peak GFLOP/s", "share")
DEAREST = 10


def measure(settings: Sequence[tuple[int, int, str]], repeats: int = 5) -> Iterator[dict[str, Any]]:
    """Rows of one evaluation of the loss (value and gradient, VGG16), whole images.

    FLOP are XLA's count for the compiled program; where it hides convolutions in a library's calls, the count of the
    program before optimisation is taken, and ``flop_source`` says so.

    Args:
        settings: (batch, size in pixels, precision) of each row.
        repeats: runs whose median counts.
    """
    environment = record.environment()
    peaks: dict[str, float] = {}
    for batch, size, precision in settings:
        network, weights = cases.extractor("vgg16", precision)
        compiled, lowered, arguments = evaluation(network, batch, size)
        flop, source = _flop(compiled, lowered)
        spent = record.median_seconds(lambda run=compiled, a=arguments: run(*a), repeats)
        peak = peaks.setdefault(precision, record.matrix_peak(cases.PRECISIONS[precision] or jnp.float32))
        yield {
            "batch": batch,
            "size": size,
            "precision": precision,
            "weights": f"vgg16 ({weights})",
            "flop": flop,
            "flop_source": source,
            "seconds": round(spent, 5),
            "flop_per_second": round(flop / spent),
            "matrix_peak": round(peak),
            "share": round(flop / spent / peak, 3),
            "evaluations": 1,
            **record.taken_on(environment),
        }


def evaluation(network: Any, batch: int, size: int) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    """The compiled value and gradient of the loss for a batch, what it was compiled from, and its arguments."""
    loss = StyleLoss()
    images = jnp.asarray([cases.head(size, turn=0.3 * number) for number in range(batch)])
    targets = jax.vmap(lambda x: loss.targets(network, x, jnp.asarray(cases.head(size, turn=1.5))))(images)
    value_and_grad = jax.vmap(jax.value_and_grad(lambda x, t, net: loss(net, x, t)), in_axes=(0, 0, None))
    lowered = jax.jit(value_and_grad).lower(0.9 * images, targets, network)
    return lowered.compile(), lowered, (0.9 * images, targets, network)


def _flop(compiled: Any, lowered: Any) -> tuple[float, str]:
    counts = {"compiled": compiled.cost_analysis(), "before optimisation": lowered.cost_analysis()}
    found = {source: float((count or {}).get("flops", 0.0)) for source, count in counts.items()}
    source = "compiled" if found["compiled"] >= 0.9 * found["before optimisation"] else "before optimisation"
    return found[source], source


def dearest(
    size: int, preset: str = "balanced", count: int = DEAREST, trace: pathlib.Path | None = None
) -> list[tuple[str, float, int]]:
    """The operations of one reconstruction that take the most time, by the profiler: name, seconds, calls.

    Numbers at the end of names, which tell operations of one kind apart, are dropped and their times added. On a CPU
    the times of all threads are added, and a loop's holds that of what is in it, so loops and calls are left out.

    Args:
        size: pixels of the generated slice.
        preset: which settings.
        count: how many.
        trace: keep the profile in this folder, for xprof or TensorBoard.
    """
    run = api.compile(**cases.batch(1, size), preset=preset)
    jax.block_until_ready(run())
    with tempfile.TemporaryDirectory() as scratch:
        folder = scratch if trace is None else str(trace)
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        newest = max(pathlib.Path(folder).rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        profile = jax.profiler.ProfileData.from_file(str(newest))
    totals: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for plane in profile.planes:
        for event in (event for line in plane.lines for event in line.events):
            stats = dict(event.stats)
            if "hlo_op" in stats:
                name = str(stats["hlo_op"]).rstrip("0123456789.").removesuffix(".clone")
                if not name.startswith(("while", "call", "conditional")):
                    totals[name] += event.duration_ns
                    calls[name] += 1
    return [(name, nanoseconds / 1e9, calls[name]) for name, nanoseconds in totals.most_common(count)]


def line(row: dict[str, Any]) -> list[Any]:
    """The cells of `HEAD`."""
    return [
        *(row[key] for key in ("batch", "size", "precision")),
        round(row["flop"] / 1e9, 2),
        round(1e3 * row["seconds"], 2),
        round(row["flop_per_second"] / 1e9, 1),
        round(row["matrix_peak"] / 1e9, 1),
        f"{100 * row['share']:.0f} %",
    ]
