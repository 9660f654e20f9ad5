"""What the benchmarks share: the real pairs, honest timing, a record of the machine, JSON."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np

import rnst_jax as rnst
from rnst_jax.io.planes import to_slices
from rnst_jax.io.prepare import prepare
from rnst_jax.metrics import head_scores, minmax_scores

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "ulf"
RESULTS = ROOT / "benchmarks" / "results"
STYLES = {"sub-01": "sub-03", "sub-02": "sub-03", "sub-03": "sub-02"}
"""Whose 3 T scan is the style of whose 0.055 T scan."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One slice of a real pair, resampled to size x size pixels.

    Attributes:
        y: the 0.055 T slice in [0, 1].
        style: somebody else's 3 T slice in [0, 1] on the same grid.
        mask: the head in y.
        style_mask: the head in the style.
        reference: the registered 3 T slice, for scores only.
        reference_mask: the head in it.
    """

    y: np.ndarray
    style: np.ndarray
    mask: np.ndarray
    style_mask: np.ndarray
    reference: np.ndarray
    reference_mask: np.ndarray

    def scores(self, image: Any) -> dict[str, float]:
        """The five scores against the reference."""
        reference, image = jnp.asarray(self.reference), jnp.asarray(image)
        found = minmax_scores(reference, image)
        found |= head_scores(reference, image, jnp.asarray(self.reference_mask))
        return {k: round(float(v), 4) for k, v in found.items()}


def load_pair(subject: str, contrast: str, number: int, size: int, data: pathlib.Path = DATA) -> Pair:
    """A slice of a real pair, prepared as the command line prepares it, at ``size`` x ``size`` pixels."""
    folder, style = data / subject, STYLES[subject]
    content = folder / f"{subject}_acq-0p055T_{contrast}.nii.gz"
    case = prepare(content, data / style / f"{style}_acq-3T_{contrast}.nii.gz")
    lane = case.numbers.index(number)
    registered = rnst.io.nifti.read(folder / f"{subject}_acq-3T_space-0p055T_{contrast}.nii.gz")
    reference = to_slices(registered, case.slices.plane).stack[lane]

    def small(image: np.ndarray) -> np.ndarray:
        return np.asarray(jax.image.resize(jnp.asarray(image, jnp.float32), (size, size), "linear"))

    return Pair(
        y=small(case.y[lane]),
        style=small(case.style[lane]),
        mask=(small(case.mask[lane]) > 0.5).astype(np.float32),
        style_mask=(small(case.style_mask[lane]) > 0.5).astype(np.float32),
        reference=small(reference),
        reference_mask=small(rnst.mask.head_mask(reference).astype(np.float32)) > 0.5,
    )


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, waited for to its end."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def interleaved(functions: dict[str, Callable[[], Any]], repeats: int = 7) -> dict[str, float]:
    """Median seconds of each function, after one run each; they take turns, so a busy machine slows all alike."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(repeats):
        for name, function in functions.items():
            taken[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_memory_bytes() -> int:
    """The most memory taken so far: of the accelerator if there is one, else of this process."""
    found = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return int(found) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure was taken with."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "nibabel": nib.__version__,
        "rnst_jax": rnst.__version__,
        "date": datetime.date.today().isoformat(),
    }


def append(path: pathlib.Path, row: dict[str, Any], keys: Sequence[str]) -> None:
    """Put a row into a JSON file of rows, in the place of an older one with the same ``keys``."""
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = [old for old in rows if any(old.get(key) != row.get(key) for key in keys)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": [*rows, row]}, indent=1) + "\n")


def table(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A markdown table."""
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(head), ["---"] * len(head), *cells])
