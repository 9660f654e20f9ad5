"""``rnst simulate``: a scan in, what a scanner of another field would have shown out."""

import argparse
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rnst_jax.cli import options
from rnst_jax.io import guard, nifti, provenance
from rnst_jax.io.atomic import write_json
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.planes import PLANES, Slices, from_slices, to_slices

CONTRASTS = ("T1w", "T2w")
TISSUES = ("grey", "white", "csf", "fat")
_NOISE = 0.05
_TOP = 99.95
"""Percentile of the volume that counts as 1: so high that only spikes lie above it."""
_SAMPLE = 2**20
"""Voxels that the tissues' intensities are learned from, at most."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "simulate",
        help="show a scan as another field would",
        description="Writes OUT: IN as a scanner of another field would have shown it, with IN's geometry and units, "
        "and a sidecar .json. Contrast follows from published relaxation times (0.05 to 3 T), by tissue maps where "
        "given and else by intensities alone (approximate, made for brains without scalp); then come k-space "
        "truncation, interference and the noise of the receiver, slice by slice.",
    )
    add = parser.add_argument
    add("content", metavar="IN", type=pathlib.Path, help="magnitude scan, .nii or .nii.gz")
    add("out", metavar="OUT", type=pathlib.Path, help="output, .nii or .nii.gz")
    add("--field", type=_above(0), required=True, metavar="T", help="field to go to, in tesla")
    add("--from-field", type=_above(0), default=3.0, metavar="T", help="field of IN (default: %(default)s)")
    add("--contrast", choices=CONTRASTS, default="T1w", help="of IN and OUT (default: %(default)s)")
    strength = parser.add_mutually_exclusive_group()
    strength.add_argument(
        "--noise",
        type=_least(0),
        metavar="S",
        help=f"standard deviation of the noise; the brightest voxels of IN are 1 (default: {_NOISE})",
    )
    strength.add_argument(
        "--snr",
        type=_above(0),
        metavar="S",
        help="instead: SNR of IN's brightest voxels; noise follows from field^1.5, pixel size and --averages",
    )
    add("--averages", type=_above(0), default=1.0, metavar="N", help="averages relative to IN, with --snr")
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--resolution", type=_above(0), metavar="MM", help="acquired pixel size (default: that of IN)")
    grid.add_argument("--matrix", type=_matrix, metavar="N|RxC", help="acquired rows and columns of a slice")
    add("--taper", type=_share, default=0.0, help="of the window in k-space: 0 cuts, 1 is a Hann window (default: 0)")
    add("--coils", type=_count, default=1, metavar="N", help="receiver coils, root sum of squares (default: 1)")
    add("--emi", type=_least(0), default=0.0, metavar="S", help="interfering tone: rms down its stripe (default: 0)")
    for tissue in TISSUES:
        rest = "; or 'rest': what the other maps leave" if tissue == "csf" else ""
        add(
            f"--{tissue}",
            metavar="MAP",
            type=pathlib.Path,
            help=f"volume fraction of {tissue}, 0 to 1, on IN's grid{rest}",
        )
    add("--plane", choices=("auto", *PLANES), default="auto", help="default: across the thickest voxel axis")
    add("--seed", type=options.seed, default=0, help="of noise and interference (default: %(default)s)")
    add("--force", action="store_true", help="replace existing outputs")
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, simulate, write; returns 0."""
    paths = {"content": args.content} | _map_paths(args)
    sidecar = _check_files(args, paths)
    content = nifti.read(args.content)
    slices = to_slices(content, args.plane)
    keep = _kept(args, slices)
    maps, warnings = _maps(args, paths, content, slices.plane)
    scale = float(np.percentile(content.data, _TOP))
    if scale <= 0:
        raise RefusedInput(f"{args.content}: its brightest voxels are not above 0; give a magnitude image")
    if (negative := np.count_nonzero(content.data < 0)) > 0:
        warnings.append(f"{args.content.name}: {negative} voxels below 0 count as 0; a magnitude image has none")
    for warning in warnings:
        options.say(args, f"warning: {warning}")

    # JAX is imported from here on: a refusal must not wait for it.
    import jax

    begun = time.perf_counter()
    stack = np.maximum(slices.stack / np.float32(scale), 0)
    settings = _settings(args, slices, keep, scale, tuple(maps))
    images, centres = _simulate(args, stack, maps, keep, settings["Noise"])
    settings["TissueIntensities"] = None if centres is None else [float(c) * scale for c in centres]
    record = provenance.simulated(
        inputs=paths,
        settings=settings,
        device=f"{jax.devices()[0].platform} ({jax.devices()[0].device_kind})",
        seed=args.seed,
        run_seconds=time.perf_counter() - begun,
        warnings=warnings,
    )
    if args.force:
        # An old sidecar must never describe a new image, not even when this is interrupted.
        sidecar.unlink(missing_ok=True)
    nifti.write(args.out, from_slices(images * np.float32(scale), slices), content, args.force)
    write_json(sidecar, record, args.force)
    if args.json:
        options.print_json({"Output": str(args.out), "Sidecar": str(sidecar)} | record)
    else:
        print(
            f"{args.out}: {len(images)} {slices.plane} slices at {args.field:g} T, noise {settings['Noise']:.3g}, "
            f"{record['RunSeconds']:.1f} s"
        )
    return 0


def _simulate(
    args: argparse.Namespace,
    stack: np.ndarray,
    maps: dict[str, np.ndarray],
    keep: tuple[float, float],
    noise: float,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The stack at the other field, and the intensities that were taken for the three tissues (None with maps)."""
    import jax
    import jax.numpy as jnp

    from rnst_jax.physics.contrast import tissue_centres
    from rnst_jax.physics.field import at_field, low_field

    numbers = {"field": args.field, "from_field": args.from_field, "contrast": args.contrast}
    # One map of intensities for all slices keeps them comparable.
    centres = None if maps else tissue_centres(jnp.asarray(stack.ravel()[:: -(-stack.size // _SAMPLE)]))
    try:  # on one voxel: what the laws and the sequence do not allow
        at_field(jnp.ones(1), **numbers, maps={name: jnp.ones(1) for name in maps} or None, centres=centres)
    except ValueError as error:
        raise UsageError(f"{error}; give another --field, --from-field or --contrast") from error
    images = [
        low_field(
            jnp.asarray(image),
            jax.random.fold_in(jax.random.key(args.seed), position),
            **numbers,
            maps={name: jnp.asarray(values[position]) for name, values in maps.items()} or None,
            centres=centres,
            keep=keep,
            taper=args.taper,
            noise=noise,
            coils=args.coils,
            emi=args.emi,
        )
        for position, image in enumerate(stack)
    ]
    return np.stack([np.asarray(image) for image in images]), None if centres is None else np.asarray(centres)


def _map_paths(args: argparse.Namespace) -> dict[str, pathlib.Path]:
    """The files of tissue maps that were given."""
    given = {tissue: getattr(args, tissue) for tissue in TISSUES}
    return {tissue: path for tissue, path in given.items() if path and not (tissue == "csf" and str(path) == "rest")}


def _check_files(args: argparse.Namespace, paths: dict[str, pathlib.Path]) -> pathlib.Path:
    """Refuse what can be refused without loading anything; returns the sidecar's path."""
    for path in paths.values():
        guard.check_file(path)
    if str(args.csf) == "rest" and not len(paths) > 1:
        raise UsageError("--csf rest: there are no other maps; give --grey and --white")
    inputs = tuple(paths.values())
    return nifti.check_outputs(args.out, inputs, args.force)


def _maps(
    args: argparse.Namespace, paths: dict[str, pathlib.Path], content: nifti.Volume, plane: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tissue maps as stacks of slices, and what the user should know of them."""
    maps, warnings = {}, []
    for tissue, path in paths.items():
        if tissue == "content":
            continue
        volume = nifti.read(path, constant=True)
        if not nifti.same_grid(volume, content):
            raise RefusedInput(
                f"{path}: shape {volume.data.shape} or affine differs from the content's {content.data.shape}; "
                "resample the map to the content"
            )
        if volume.data.min() < -0.01 or volume.data.max() > 1.01:
            raise RefusedInput(
                f"{path}: holds values from {volume.data.min():g} to {volume.data.max():g}; a map of volume fractions "
                "lies in 0 to 1, scale it"
            )
        maps[tissue] = np.clip(to_slices(volume, plane).stack, 0, 1)
    if maps:
        total = np.sum(list(maps.values()), axis=0)
        if float(np.mean(total > 1.05)) > 0.01:
            warnings.append("the tissue maps add up to more than 1 in more than 1 % of the voxels")
        if str(args.csf) == "rest":
            maps["csf"] = np.clip(1 - total, 0, 1)
    return maps, warnings


def _kept(args: argparse.Namespace, slices: Slices) -> tuple[float, float]:
    """The acquired share of k-space along columns and along rows of a slice."""
    height, width = slices.stack.shape[1:]
    if args.matrix:
        rows, columns = args.matrix
        if rows > height or columns > width:
            raise UsageError(
                f"--matrix {rows}x{columns}: {args.content} has {slices.plane} slices of {height} x {width} only; "
                "give no more"
            )
        return rows / height, columns / width
    if args.resolution is None:
        return 1.0, 1.0
    if args.resolution < 0.999 * min(slices.zooms):
        raise UsageError(
            f"--resolution {args.resolution:g}: {args.content} has pixels of {slices.zooms[0]:.3g} x "
            f"{slices.zooms[1]:.3g} mm; give no less"
        )
    rows, columns = (min(zoom / args.resolution, 1.0) for zoom in slices.zooms)
    return rows, columns


def _settings(
    args: argparse.Namespace, slices: Slices, keep: tuple[float, float], scale: float, maps: tuple[str, ...]
) -> dict[str, Any]:
    """Everything that decides the output, for the sidecar."""
    from rnst_jax.physics.field import CONTRASTS as SEQUENCES
    from rnst_jax.physics.scanner import snr_ratio

    noise = _NOISE if args.noise is None else args.noise
    if args.snr is not None:
        ratio = snr_ratio(args.field, args.from_field, voxel=1 / (keep[0] * keep[1]), averages=args.averages)
        noise = 1 / (args.snr * float(ratio))
    sequence = SEQUENCES[args.contrast]
    return {
        "FieldTesla": args.field,
        "FromFieldTesla": args.from_field,
        "Contrast": args.contrast,
        "Sequence": {"Name": type(sequence).__name__} | vars(sequence),
        "Noise": noise,
        "SNR": args.snr,
        "Averages": args.averages,
        "Coils": args.coils,
        "Interference": args.emi,
        "KSpaceShare": list(keep),
        "Taper": args.taper,
        "TissueMaps": list(maps),
        "Plane": slices.plane,
        "PixelMm": list(slices.zooms),
        "AcquiredPixelMm": [zoom / share for zoom, share in zip(slices.zooms, keep, strict=True)],
        "Scale": scale,
    }


def _number(text: str, sound: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and sound(value)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number {what}")
    return value


def _above(low: float) -> Callable[[str], float]:
    return lambda text: _number(text, lambda value: value > low, f"above {low:g}")


def _least(low: float) -> Callable[[str], float]:
    return lambda text: _number(text, lambda value: value >= low, f"of {low:g} or more")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "from 0 to 1")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def _matrix(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is neither N nor ROWSxCOLUMNS")
    return int(parts[0]), int(parts[-1])
