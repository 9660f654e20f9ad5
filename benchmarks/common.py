"""What the benchmarks on data share: the real pairs. Timing, the machine and JSON are `rnst_jax.bench.record`'s."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnst_jax as rnst
from rnst_jax.io.planes import to_slices
from rnst_jax.io.prepare import prepare
from rnst_jax.metrics import head_scores, minmax_scores

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "ulf"
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "docs" / "figures"
STYLES = {"sub-01": "sub-03", "sub-02": "sub-03", "sub-03": "sub-02"}
"""Whose 3 T scan is the style of whose 0.055 T scan."""
METRICS = ("minmax_psnr", "minmax_ssim", "head_psnr", "head_ssim", "head_hfen")


def scores(reference: Any, image: Any, mask: Any) -> dict[str, float]:
    """The five scores of one slice, the mask being the head in the reference."""
    pair = jnp.asarray(reference, jnp.float32), jnp.asarray(image, jnp.float32)
    found = minmax_scores(*pair) | head_scores(*pair, jnp.asarray(mask))
    return {metric: float(found[metric]) for metric in METRICS}


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
        found = scores(self.reference, image, self.reference_mask)
        return {metric: round(value, 4) for metric, value in found.items()}


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
