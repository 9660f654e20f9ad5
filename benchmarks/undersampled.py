"""Undersampled k-space: the measured k-space of the real pairs with rows left out, and what is made of the rest.

    python benchmarks/undersampled.py [--acceleration 1 2 3] [--output benchmarks/results/undersampled.json]

Rows are drawn with a density (1 - r)^3, the central 24 always (`rnst_jax.physics.masks.variable_density`). Scored
against the registered 3 T scan: the zero-filled magnitude, ``balanced`` from the zero-filled start, and ``balanced``
from a start that was filled in, as ``rnst reconstruct`` does (`rnst_jax.solvers.complete`).
"""

import argparse
import dataclasses
import pathlib
from typing import Any

import common
import jax
import numpy as np
from common import METRICS
from pairs import scored_heads

import rnst_jax as rnst
from rnst_jax.bench import record
from rnst_jax.cli import kspace, solving
from rnst_jax.io import nifti
from rnst_jax.io.kspace import KSpace, read
from rnst_jax.io.planes import to_slices
from rnst_jax.io.prepare_kspace import GAPS, KSpaceCase, prepare_kspace

AXES = ("j-", "i-", "k")
"""Of the arrays in the data."""
CENTRE = 24
"""Rows that are always there."""


def undersample(measured: KSpace, acceleration: float) -> KSpace:
    """K-space with rows set to 0."""
    rows = measured.data.shape[2]
    key = jax.random.key(0)
    kept = rnst.physics.masks.variable_density(key, (1, rows), acceleration, CENTRE)[0]
    return dataclasses.replace(measured, data=measured.data * np.asarray(kept)[:, None])


def reconstruct(measured: KSpaceCase, missing: float) -> np.ndarray:
    """As ``rnst reconstruct`` takes it where k-space is missing such a share, in the units of the zero-filled image."""
    config, _ = kspace.with_data_term(rnst.presets.get("balanced"), missing)
    found = solving.findings(measured.case, config, measured)
    y, style, options = solving.arguments(measured.case, config, measured, found)
    return np.asarray(rnst.reconstruct(y, style, **options).image)


def scores(reference: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over the slices."""
    found = [common.scores(*each) for each in zip(reference, images, scored_heads(reference), strict=True)]
    return {metric: round(float(np.mean([s[metric] for s in found])), 4) for metric in METRICS}


def measure(data: pathlib.Path, subject: str, contrast: str, acceleration: float) -> list[dict[str, Any]]:
    """The rows of one scan."""
    folder, style = data / subject, common.STYLES[subject]
    plain = folder / f"{subject}_acq-0p055T_{contrast}.nii.gz"
    full = read(plain.with_name(f"{subject}_acq-0p055T_{contrast}_kspace.npz"), axes=AXES, forward=True)
    measured = prepare_kspace(
        undersample(full, acceleration) if acceleration > 1 else full,
        data / style / f"{style}_acq-3T_{contrast}.nii.gz",
        geometry_path=plain,
    )
    registered = nifti.read(folder / f"{subject}_acq-3T_space-0p055T_{contrast}.nii.gz")
    reference = to_slices(registered, measured.case.slices.plane).stack
    made = {"zero-filled": measured.case.stack, "balanced": reconstruct(measured, measured.missing)}
    if measured.missing > GAPS:
        made["balanced, not filled in"] = reconstruct(measured, 0.0)
    name = {"subject": subject, "contrast": contrast, "acceleration": acceleration}
    name["missing"] = round(measured.missing, 3)
    return [name | {"row": row} | scores(reference, images) for row, images in made.items()]


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the subjects."""
    lines = []
    for key in dict.fromkeys((r["contrast"], r["acceleration"], r["row"]) for r in rows):
        chosen = [r for r in rows if (r["contrast"], r["acceleration"], r["row"]) == key]
        lines.append([*key, *(round(float(np.mean([r[m] for r in chosen])), 4) for m in METRICS), len(chosen)])
    return record.table(("contrast", "acceleration", "row", *METRICS, "scans"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Undersampled k-space of the real pairs")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--acceleration", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "undersampled.json")
    args = parser.parse_args()
    rows = []
    for contrast in ("T1w", "T2w"):
        for acceleration in args.acceleration:
            for subject in common.STYLES:
                for row in measure(args.data, subject, contrast, acceleration):
                    record.append(args.output, row, ("row", "subject", "contrast", "acceleration"))
                    rows.append(row)
                    print(*row.values(), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
