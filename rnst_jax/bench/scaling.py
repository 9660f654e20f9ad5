"""What a slice costs against pixels, slices in a batch, and devices."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax

from rnst_jax import api, parallel, presets
from rnst_jax.bench import cases, record

KEYS = ("preset", "axis", "value", "platform", "device")
HEAD = ("preset", "against", "value", "run s", "relative cost per slice (pixel)")


def pixels(sizes: Sequence[int], preset: str = "balanced", repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One slice of growing size, all of them taking turns; the cost is relative to the first, per pixel of the box."""
    arguments = {size: cases.batch(1, size) for size in sizes}
    runs = {str(size): api.compile(**found, preset=preset) for size, found in arguments.items()}
    areas = {str(size): found["y"][0].size for size, found in arguments.items()}
    yield from _rows("pixels", record.interleaved(runs, repeats), areas, preset)


def slices(batches: Sequence[int], size: int, preset: str = "balanced", repeats: int = 3) -> Iterator[dict[str, Any]]:
    """Batches of growing length in one vmapped program each, and one slice at a time as many times: take turns.

    Rows "one by one" call the program of a single slice for every slice.
    """
    single = api.compile(**cases.batch(1, size), preset=preset, chunk=1)
    runs, counts = {}, {}
    for count in batches:
        together = api.compile(**cases.batch(count, size), preset=preset, chunk=count)
        runs[f"{count}"], runs[f"{count}, one by one"] = together, lambda n=count: [single() for _ in range(n)]
        counts[f"{count}"] = counts[f"{count}, one by one"] = count
    yield from _rows("slices", record.interleaved(runs, repeats), counts, preset)


def devices(
    counts: Sequence[int], per_device: int, size: int, preset: str = "balanced", repeats: int = 3
) -> Iterator[dict[str, Any]]:
    """As many slices per device on growing numbers of devices: with perfect scaling each takes as long.

    Compilation is left out, as the first call of `record.interleaved` does not count.
    """
    runs, shares = {}, {}
    for count in counts:
        arguments = cases.batch(count * per_device, size)
        chosen = jax.devices()[:count]
        runs[str(count)] = lambda a=arguments, d=chosen: parallel.reconstruct(
            **a, devices=d, preset=preset, chunk=per_device
        )
        shares[str(count)] = count * per_device
    yield from _rows("devices", record.interleaved(runs, repeats), shares, preset)


def _rows(axis: str, seconds: dict[str, float], units: dict[str, int], preset: str) -> Iterator[dict[str, Any]]:
    environment = record.environment()
    first = next(iter(seconds))
    for name, spent in seconds.items():
        yield {
            "preset": preset,
            "axis": axis,
            "value": name,
            "units": units[name],
            "run_seconds": round(spent, 4),
            "relative_cost_per_unit": round(spent / units[name] / (seconds[first] / units[first]), 3),
            "evaluations": api.planned_evaluations(presets.get(preset)),
            "precision": "float32",
            "weights": "vgg16 (ImageNet)",
            **record.taken_on(environment),
        }


def line(row: dict[str, Any]) -> list[Any]:
    """The cells of `HEAD`."""
    return [row[key] for key in ("preset", "axis", "value", "run_seconds", "relative_cost_per_unit")]
