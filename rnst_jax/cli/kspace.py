"""What ``rnst reconstruct`` does with k-space: its options, the forward model and the data term."""

import argparse
import dataclasses
import pathlib
from typing import Any

import numpy as np

from rnst_jax.io import guard
from rnst_jax.io.errors import UsageError
from rnst_jax.io.kspace import is_kspace, parse_axes, read
from rnst_jax.io.prepare_kspace import GAPS, KSpaceCase, prepare_kspace

ALPHA = 0.1
"""Weight of the data term where the settings have none; chosen in docs/kspace.md."""
COMPLETION = 8
"""Steps that fill in what was not measured where a scan is undersampled and the settings have none."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for k-space."""
    group = parser.add_argument_group("k-space", "CONTENT may be .npz, fastMRI .h5 or ISMRMRD .h5, see docs/kspace.md")
    add = group.add_argument
    add("--kspace", action="store_true", help="CONTENT is k-space whatever its name (.npz and HDF5 names always are)")
    add("--kspace-key", metavar="NAME", help="the array in the file (default: kspace), or ISMRMRD's group")
    add(
        "--kspace-axes",
        type=_axes,
        metavar="A,B,..",
        help="what the array's axes are: i, j, k of the output, k across the slices, a minus behind one where the "
        "image runs against it, c for coils (default: k,c,j-,i without c if there is none)",
    )
    add("--kspace-transform", choices=("inverse", "forward"), help="the FFT that gives the image (default: inverse)")
    add("--geometry", type=pathlib.Path, help="NIfTI of the same scan: the output takes its matrix and orientation")


def is_given(args: argparse.Namespace) -> bool:
    """Whether the content is k-space."""
    return args.kspace or is_kspace(args.content)


def check(args: argparse.Namespace) -> None:
    """Refuse options of k-space for an image, and a place that holds no file."""
    if is_given(args):
        guard.check_place(args.content, "k-space as .npz, fastMRI .h5 or ISMRMRD .h5")
        return
    for name in ("kspace_key", "kspace_axes", "kspace_transform", "geometry"):
        if getattr(args, name):
            raise UsageError(f"{args.content}: --{name.replace('_', '-')} is for k-space; leave it out or add --kspace")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """How the file of k-space is read, for the sidecar; nothing for an image."""
    if not is_given(args):
        return {}
    axes = None if args.kspace_axes is None else list(args.kspace_axes)
    return {"KSpace": {"Key": args.kspace_key, "Axes": axes, "Transform": args.kspace_transform or "inverse"}}


def prepare(args: argparse.Namespace) -> KSpaceCase:
    """Read the content as k-space and prepare it."""
    kspace = read(args.content, args.kspace_key, args.kspace_axes, args.kspace_transform == "forward")
    return prepare_kspace(kspace, args.style, args.mask, args.geometry, args.plane, args.slices, args.anatomy)


def with_data_term(config: Any, missing: float) -> tuple[Any, dict[str, Any]]:
    """The settings with a data term, on whole slices: k-space knows no crop. Also as a dict.

    Nothing is sharpened: the data say how sharp the image is. And where k-space is ``missing`` a share of what there
    could be, a denoiser fills it in.
    """
    from rnst_jax import presets

    if config.alpha == 0:
        config = dataclasses.replace(config, alpha=ALPHA)
    if config.completion == 0 and missing > GAPS:
        config = dataclasses.replace(config, completion=COMPLETION)
    config = dataclasses.replace(config, crop=False, sharpening=0.0)
    return config, presets.to_dict(config)


def data(measured: KSpaceCase, field: np.ndarray | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """The measurement, and how `rnst_jax.reconstruct` is told of its forward model, and where to start.

    Coil maps, the phase of the image in them, come from the centre of each slice's k-space. With a receive field b they
    are b S, so that x is the image without it, and the start is S^H F^H y / b.
    """
    import functools

    import jax
    import jax.numpy as jnp

    from rnst_jax.physics import Sense, estimate_sensitivity

    maps = jax.vmap(functools.partial(estimate_sensitivity, size=measured.window))(jnp.asarray(measured.y))
    physics = Sense(maps, jnp.asarray(measured.sampled))
    if field is None:
        return measured.y, {"physics": physics, "physics_axis": 0}
    shading = jnp.asarray(field, jnp.float32)
    start = jax.vmap(lambda physics, y: physics.adjoint(y))(physics, jnp.asarray(measured.y)) / shading
    physics = dataclasses.replace(physics, maps=maps * shading[:, None])
    return measured.y, {"physics": physics, "physics_axis": 0, "x0": start}


def residual(measured: KSpaceCase, images: np.ndarray) -> tuple[np.ndarray, float]:
    """What the output and the measurement disagree in, A^H (A x - y), and the relative misfit |A x - y| / |y|.

    Args:
        measured: the case.
        images: x, (B, H, W), in the units of ``measured.y`` and with its receive field.

    Returns:
        (B, H, W) in the same units, above 0 where the output holds more than was measured; and the misfit over all
        slices.
    """
    import jax
    import jax.numpy as jnp

    y, options = data(measured)

    def one(physics: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        difference = physics.forward(x) - y
        return physics.adjoint(difference), jnp.linalg.norm(difference)

    found, misfits = jax.jit(jax.vmap(one))(options["physics"], jnp.asarray(images), jnp.asarray(y))
    return np.asarray(found), float(jnp.linalg.norm(misfits) / np.linalg.norm(y))


def _axes(text: str) -> tuple[str, ...]:
    try:
        return parse_axes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
