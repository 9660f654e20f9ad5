"""Honest timing, a record of the machine, and JSON files of rows."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from rnst_jax.io import atomic
from rnst_jax.version import __version__


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, waited for to its end."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def median_seconds(function: Callable[[], Any], repeats: int = 3) -> float:
    """Median seconds of several calls, after one that does not count."""
    return interleaved({"": function}, repeats)[""]


def interleaved(functions: dict[str, Callable[[], Any]], repeats: int = 7) -> dict[str, float]:
    """Median seconds of each function, after one run each; they take turns, so a busy machine slows all alike.

    Examples:
        >>> sorted(interleaved({"a": lambda: 1, "b": lambda: 2}, repeats=3))
        ['a', 'b']
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(repeats):
        for name, function in functions.items():
            taken[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in taken.items()}


def check_finite(what: str, values: Any) -> None:
    """Raise RuntimeError if a result that is to be timed is not finite.

    Examples:
        >>> check_finite("losses", [1.0, float("nan")])
        Traceback (most recent call last):
        RuntimeError: the losses are not finite, so their speed means nothing; run: rnst doctor
    """
    if not np.isfinite(values).all():
        raise RuntimeError(f"the {what} are not finite, so their speed means nothing; run: rnst doctor")


def matrix_peak(dtype: Any = "float32", n: int | None = None, runs: int = 10) -> float:
    """FLOP per second of a matrix product, the best of some runs: what the default device can do in practice.

    Args:
        dtype: of the n x n factors.
        n: by default 2048 on a CPU, else 8192.
        runs: how many.
    """
    n = n or (2048 if jax.default_backend() == "cpu" else 8192)
    a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)
    product = jax.jit(lambda a, b: a @ b).lower(a, a).compile()
    product(a, a).block_until_ready()
    return 2 * n**3 / min(seconds(lambda: product(a, a)) for _ in range(runs))


def peak_memory_bytes() -> int:
    """The most memory taken so far: of the accelerator if there is one, else of this process (0 where unknown)."""
    found = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if found:
        return int(found)
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure was taken with.

    Examples:
        >>> sorted(environment())[:3]
        ['cores', 'date', 'device']
    """
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ("jax", "jaxlib", "numpy", "nibabel", "optax")
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "cores": cores,
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "rnst_jax": __version__,
        "date": datetime.date.today().isoformat(),
    }


def taken_on(environment: dict[str, Any]) -> dict[str, Any]:
    """What ends every row: the peak memory so far, and the machine, of `environment`."""
    here = {key: environment[key] for key in ("platform", "device")}
    return {"peak_memory_bytes": peak_memory_bytes(), **here, "environment": environment}


def append(path: pathlib.Path, row: dict[str, Any], keys: Sequence[str]) -> None:
    """Put a row into a JSON file of rows, in the place of an older one with the same ``keys``."""
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = [old for old in rows if any(old.get(key) != row.get(key) for key in keys)]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, {"rows": [*rows, row]}, force=True)


def table(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A markdown table.

    Examples:
        >>> print(table(["a", "b"], [[1, 0.123456]]))
        | a | b |
        | --- | --- |
        | 1 | 0.1235 |
    """
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(head), ["---"] * len(head), *cells])
