"""Slices per minute against batch, size, extractor and precision."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from rnst_jax import api, presets
from rnst_jax.bench import cases, record

KEYS = ("preset", "batch", "size", "extractor", "precision", "platform", "device")
HEAD = (
    "preset",
    "batch",
    "size",
    "box",
    "extractor",
    "precision",
    "compile s",
    "run s",
    "slices / min",
    "program MiB",
)


def measure(
    settings: Sequence[tuple[int, int, str, str]], preset: str = "balanced", repeats: int = 3
) -> Iterator[dict[str, Any]]:
    """Rows, one after the other, of reconstructions of generated heads.

    Args:
        settings: (batch, size in pixels, extractor, precision) of each row.
        preset: a name of `rnst_jax.presets.names`.
        repeats: runs whose median counts, after one that does not.

    Yields:
        The row as plain data: settings, weights, compile and run seconds, evaluations per slice, slices per minute,
        bytes of the program's buffers by XLA, peak memory of the process so far, and the environment.

    Raises:
        RuntimeError: an image is not finite.
    """
    environment = record.environment()
    for batch, size, name, precision in settings:
        network, weights = cases.extractor(name, precision)
        config = presets.for_extractor(presets.get(preset), name)
        arguments = cases.batch(batch, size)
        prepared = api.prepare(**arguments, preset=config, extractor=network, chunk=batch)
        start = time.perf_counter()
        compiled = api.compile_batch(prepared.batch, *prepared.shared, **prepared.sizes)
        compile_seconds = time.perf_counter() - start
        result = jax.block_until_ready(compiled(prepared.batch, *prepared.shared))
        record.check_finite("images", result.image)

        def run(compiled=compiled, prepared=prepared):
            return compiled(prepared.batch, *prepared.shared)

        run_seconds = record.median_seconds(run, repeats)
        memory = compiled.memory_analysis()
        yield {
            "preset": preset,
            "batch": batch,
            "size": size,
            "box": list(arguments["y"].shape[1:]),
            "extractor": name,
            "weights": weights,
            "precision": precision,
            "evaluations": int(result.evaluations[0]),
            "compile_seconds": round(compile_seconds, 2),
            "run_seconds": round(run_seconds, 4),
            "slices_per_minute": round(60 * batch / run_seconds, 2),
            "program_bytes": None if memory is None else int(memory.temp_size_in_bytes),
            **record.taken_on(environment),
        }


def line(row: dict[str, Any]) -> list[Any]:
    """The cells of `HEAD`."""
    program = row["program_bytes"]
    return [
        *(row[key] for key in ("preset", "batch", "size")),
        "x".join(map(str, row["box"])),
        *(row[key] for key in ("extractor", "precision", "compile_seconds", "run_seconds", "slices_per_minute")),
        "" if program is None else round(program / 2**20),
    ]
