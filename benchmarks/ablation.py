"""What each part of the default is worth: the real pairs with one part taken out, or another in its place.

    python benchmarks/ablation.py [--rows TEXT ...] [--output benchmarks/results/ablation.json]

Real pairs only (sub-01 to sub-03, T1w and T2w, 4 slices each), means over the 12 slices of a contrast, scored as
`evaluate` does; the table shows what changes against ``balanced``. ``--rows`` runs the rows with one of these texts in
their name and keeps the others of the file.
"""

import argparse
import dataclasses
import pathlib

import common
import evaluate
import numpy as np
import pairs
from sensitivity import measure

import rnst_jax as rnst
from rnst_jax.bench import record

METRICS = ("head_psnr", "head_ssim", "head_hfen")
AS_IS = "balanced"


def rows(config: rnst.presets.Config) -> dict[str, rnst.presets.Config]:
    """The config, and what differs from it in one part."""

    def other(**changes) -> rnst.presets.Config:
        return dataclasses.replace(config, **changes)

    return {
        AS_IS: config,
        "no bias correction": other(bias_correction=False),
        "no style (beta = 0)": other(beta=0.0),
        "no change of rim and brain": other(rim_gain=1.0, brain_darkening=1.0),
        "highlights as they are": other(highlights=0.0),
        "none of these four": other(**evaluate.NO_STYLE),
        "no Gram term": other(style_weight=0.0),
        "no intensity term": other(intensity_weight=0.0),
        "no content term": other(content_weight=0.0),
        "T(x) alone (beta = 1)": other(beta=1.0, caution=0.0),
        "as much style in noise (caution = 0, beta = 0.25)": other(beta=0.25, caution=0.0),
        "sharpening in place of whitening": other(whitening=0.0),
        "neither whitening nor sharpening": other(whitening=0.0, sharpening=0.0),
        "denoiser at the noise as estimated": other(sigma_factor=1.0),
        "Grams and air not masked": other(masked=False),
        "BM3D alone (fine = 0)": other(fine=0.0),
        "BM3D on the interpolated grid": other(native=1),
        "no apodisation": other(apodisation=0.0),
        "nothing beyond the edge of k-space": other(beyond=1e9),
        "non-local means": other(denoiser="nlm"),
        "wavelet": other(denoiser="wavelet"),
        "total variation": other(denoiser="tv"),
        "DnCNN": other(denoiser="dncnn"),
        "free pixels, beta = 1": other(**evaluate.FREE_PIXELS),
        "10 evaluations": other(depths=(10,)),
        "160 evaluations": other(depths=(160,)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What each part of the default is worth")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--rows", nargs="*", metavar="TEXT", help="only the rows with one of these in their name")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "ablation.json")
    args = parser.parse_args()
    groups = pairs.real(args.data)
    cases = {name: (lambda: groups, config) for name, config in rows(rnst.presets.get(AS_IS)).items()}
    scores = measure(cases, args.rows, args.output, AS_IS)
    head = ["row", *(f"{contrast} {metric}" for contrast in ("T1w", "T2w") for metric in METRICS)]
    print(record.table(head, [[name, *_line(scores, name)] for name in cases if name in scores]))


def _line(scores: dict, name: str) -> list[str]:
    """The scores of `AS_IS`, or the differences to them."""
    cells = []
    for contrast in ("T1w", "T2w"):
        for metric, digits in zip(METRICS, (2, 4, 3), strict=True):
            value, base = scores[name][contrast][metric], scores[AS_IS][contrast][metric]
            cells.append(f"{value:.{digits}f}" if name == AS_IS else f"{np.subtract(value, base):+.{digits}f}")
    return cells


if __name__ == "__main__":
    main()
