"""The speed benchmarks by name: which rows each takes, in full and in short, and where they are kept."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from rnst_jax.bench import profile, record, scaling, throughput
from rnst_jax.features import MODELS

Row = dict[str, Any]


class Benchmark(NamedTuple):
    """One benchmark.

    Attributes:
        rows: takes ``short`` and yields rows as they are measured.
        keys: what tells two rows apart.
        head: of the printed table.
        line: the cells of a row.
    """

    rows: Callable[[bool], Iterator[Row]]
    keys: tuple[str, ...]
    head: tuple[str, ...]
    line: Callable[[Row], list[Any]]


def _throughput(short: bool) -> Iterator[Row]:
    if short:
        yield from throughput.measure([(1, 128, "vgg16", "float32"), (4, 128, "vgg16", "float32")], "fast", 1)
        return
    on_cpu = jax.default_backend() == "cpu"
    batches = (4, 1) if on_cpu else (180, 16, 1)
    settings = [(batches[0], 256, "vgg16", precision) for precision in ("float32", "bfloat16")]
    settings += [(batch, 256, "vgg16", "float32") for batch in batches[1:]]
    if on_cpu:  # on a GPU each row takes a minute to compile
        settings += [(4, 128, "vgg16", "float32"), *((1, 128, name, "float32") for name in MODELS)]
    yield from throughput.measure(settings)


def _scaling(short: bool) -> Iterator[Row]:
    if short:
        yield from scaling.pixels((64, 96), "fast", 1)
        yield from scaling.slices((2,), 64, "fast", 1)
        return
    yield from scaling.pixels((64, 96, 128, 192, 256))
    yield from scaling.slices((2, 8), 96, "fast")
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= jax.device_count()]
    yield from scaling.devices(counts, per_device=2, size=96, preset="fast")


def _profile(short: bool) -> Iterator[Row]:
    if short:
        yield from profile.measure([(1, 96, "float32")], 1)
        return
    batches = (4, 1) if jax.default_backend() == "cpu" else (16, 1)
    yield from profile.measure([(n, 256, precision) for n in batches for precision in ("float32", "bfloat16")])


BENCHMARKS = {
    "throughput": Benchmark(_throughput, throughput.KEYS, throughput.HEAD, throughput.line),
    "scaling": Benchmark(_scaling, scaling.KEYS, scaling.HEAD, scaling.line),
    "profile": Benchmark(_profile, profile.KEYS, profile.HEAD, profile.line),
}


def run(
    name: str, output: pathlib.Path | None, short: bool = False, say: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """Measure one benchmark.

    Args:
        name: a key of `BENCHMARKS`.
        output: a JSON file of rows; each is put in as soon as it is there, in the place of an older one of the same
            settings and device. None writes nothing.
        short: a few small rows, under a minute on a laptop.
        say: told of each row.

    Returns:
        The rows that were measured.
    """
    benchmark, rows = BENCHMARKS[name], []
    for row in benchmark.rows(short):
        rows.append(row)
        say(", ".join(f"{cell}" for cell in benchmark.line(row)))
        if output is not None:
            record.append(output, row, benchmark.keys)
    return rows


def table(name: str, rows: list[Row]) -> str:
    """The rows as a markdown table."""
    benchmark = BENCHMARKS[name]
    return record.table(benchmark.head, [benchmark.line(row) for row in rows])
