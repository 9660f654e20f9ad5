"""``rnst evaluate``: how close an output is to a reference scan."""

import argparse
import pathlib
from typing import Any

import numpy as np

from rnst_jax.cli import options
from rnst_jax.io import nifti, volumes
from rnst_jax.io.errors import RefusedInput
from rnst_jax.io.planes import PLANES, to_slices
from rnst_jax.mask import head_mask

_WINDOW = 11
"""Pixels: the widest window of the metrics."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score an output against a reference scan",
        description="PSNR, SSIM and HFEN of OUT against REF, slice by slice and on average. head_*: inside the head, "
        "each image scaled by its own percentiles there. minmax_*: whole slice, each image scaled by its extremes. "
        "PSNR in dB and SSIM: higher is better; HFEN: lower is better.",
    )
    parser.add_argument("out", metavar="OUT", type=pathlib.Path, help="the image to score")
    parser.add_argument("--reference", metavar="REF", type=pathlib.Path, required=True, help="on the grid of OUT")
    parser.add_argument("--mask", type=pathlib.Path, help="the head, non-zero inside (default: found in REF)")
    parser.add_argument("--plane", choices=("auto", *PLANES), default="auto", help="default: across thickest voxels")
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score and print; returns 0."""
    paths = [path for path in (args.out, args.reference, args.mask) if path]
    for path in paths:
        volumes.check(path)
    reference = volumes.read(args.reference)
    for path in paths:
        if not nifti.same_grid(volume := volumes.read(path, constant=path == args.mask), reference):
            raise RefusedInput(
                f"{path}: shape {volume.data.shape} or affine differs from the reference's {reference.data.shape}; "
                "resample one to the other's grid"
            )
    slices = to_slices(reference, args.plane)
    images = to_slices(volumes.read(args.out), slices.plane).stack
    if args.mask:
        masks = to_slices(volumes.read(args.mask, constant=True), slices.plane).stack != 0
    else:
        masks = np.stack([head_mask(image) for image in slices.stack])
    if not masks.any():
        remedy = "check the mask" if args.mask else "give --mask"
        raise RefusedInput(f"{args.mask or args.reference}: no head in any slice; {remedy}")
    if min(images.shape[1:]) < _WINDOW:
        raise RefusedInput(
            f"{args.out}: its {slices.plane} slices are narrower than {_WINDOW} pixels; choose a --plane"
        )

    numbers = [slices.number(position) for position in range(len(images))]
    for number, mask in zip(numbers, masks, strict=True):
        if not mask.any():
            options.say(args, f"warning: no head in slice {number}, left out")
    rows, mean = scores(slices.stack, images, masks, numbers)
    if args.json:
        content = {"Image": args.out.name, "Reference": args.reference.name, "Plane": slices.plane}
        options.print_json(content | {"Slices": rows, "Mean": mean})
    else:
        print("slice", *(f"{name:>12}" for name in mean))
        for label, row in [*((str(row["slice"]), row) for row in rows), ("mean", mean)]:
            print(f"{label:>5}", *(f"{row[name]:12.4f}" for name in mean))
    return 0


def scores(
    truths: np.ndarray, images: np.ndarray, masks: np.ndarray, numbers: list[int]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The scores of each slice that shows a head, by slice number, and their means."""
    import jax

    from rnst_jax import metrics

    @jax.jit
    def score(reference, image, mask):
        return metrics.head_scores(reference, image, mask) | metrics.minmax_scores(reference, image)

    rows = []
    for truth, image, mask, number in zip(truths, images, masks, numbers, strict=True):
        if mask.any():
            found = score(truth, image, mask.astype(np.float32))
            # jit sorts the keys of a dict; the metrics' own order reads better.
            rows.append({"slice": number} | {name: float(found[name]) for name in _ORDER})
    rows.sort(key=lambda row: row["slice"])
    return rows, {name: float(np.mean([row[name] for row in rows])) for name in _ORDER} if rows else {}


_ORDER = ("head_psnr", "head_ssim", "head_hfen", "minmax_psnr", "minmax_ssim")
