"""From measured k-space to the batch that a solver takes: geometry, head, style, and y on the slices' grid."""

import dataclasses
import pathlib

import nibabel as nib
import numpy as np
from jaxtyping import Complex, Float

from rnst_jax.io import nifti
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.intensity import Scaling
from rnst_jax.io.kspace import KSpace
from rnst_jax.io.nifti import Volume
from rnst_jax.io.planes import PLANES, Slices, to_slices
from rnst_jax.io.prepare import Case, prepare

GAPS = 0.1
"""A scan is undersampled if more than this share is missing: lines left out, partial Fourier, the corners of an
elliptic sampling (0.21); single lines that were lost are less."""
_AXES = (-2, -1)


@dataclasses.dataclass(frozen=True, eq=False)
class KSpaceCase:
    """Measured k-space and a style scan, ready for `rnst_jax.reconstruct`.

    Attributes:
        case: what an image would give, from the zero-filled magnitude; its scaling maps 0 to 0, for y is linear in x.
        y: (B, C, H, W) complex64, centred, orthonormal k-space of the batch in the orientation of ``case.y`` and
            scaled as it, 0 where nothing was measured.
        sampled: (B, H, W), 1 where a coefficient was measured.
        window: rows and columns of the centre that serves for the phase and the coils: a quarter of the acquired
            matrix, or less where less of the centre was sampled in full; of the whole scan, as ``missing``.
        missing: share of the coefficients as near to the centre, along either axis, as the farthest that was measured,
            which were not: 0 in a full scan, however far it was zero-filled; 1/2 with every other line left out.
    """

    case: Case
    y: Complex[np.ndarray, "b coils h w"]
    sampled: Float[np.ndarray, "b h w"]
    window: tuple[int, int]
    missing: float


def prepare_kspace(
    kspace: KSpace,
    style_path: pathlib.Path,
    mask_path: pathlib.Path | None = None,
    geometry_path: pathlib.Path | None = None,
    plane: str = "auto",
    wanted: tuple[int | None, int | None] = (None, None),
    shows: str = "auto",
) -> KSpaceCase:
    """Zero-fill k-space onto the output's matrix, and go on as `rnst_jax.io.prepare.prepare` with its magnitude.

    Args:
        kspace: from `rnst_jax.io.kspace.read`.
        style_path: the high-field scan of somebody else.
        mask_path: the head on the output's grid.
        geometry_path: a NIfTI volume whose matrix, affine and header the output takes; by default the acquired matrix
            and a plain affine, centred, with the file's voxel size (1 mm if it tells none).
        plane: of the slices; by default the plane that the axis k is across.
        wanted: first slice and one past the last.
        shows: what both scans show, see `rnst_jax.io.anatomy.has_scalp`.

    Raises:
        RefusedInput: a file cannot be used, or the geometry has another number of slices or a smaller matrix.
        UsageError: the plane is not that of the slices, or the range of slices is empty.
    """
    like = None if geometry_path is None else nifti.read(geometry_path, constant=True)
    dims = tuple("ijk".index(axis[0]) for axis in kspace.axes)
    acquired = kspace.data.shape[2:]
    matrix = acquired if like is None else (like.data.shape[dims[1]], like.data.shape[dims[2]])
    if like is not None and (like.data.shape[2] != len(kspace.data) or any(np.less(matrix, acquired))):
        raise RefusedInput(
            f"{like.path}: its matrix {like.data.shape} does not hold {len(kspace.data)} slices of {acquired[0]} x "
            f"{acquired[1]} coefficients; give the scan's own geometry, or check --kspace-axes"
        )
    filled = np.zeros((*kspace.data.shape[:2], *matrix), np.complex64)
    rows, columns = (slice(m // 2 - a // 2, m // 2 - a // 2 + a) for m, a in zip(matrix, acquired, strict=True))
    filled[..., rows, columns] = kspace.data
    # (slices, coils, rows, columns) -> (coils, i, j, k)
    images = _to_voxels(_ifft2c(filled).swapaxes(0, 1), kspace.axes)
    magnitude = np.sqrt(np.sum(np.abs(images) ** 2, axis=0))
    content = _volume(magnitude, kspace, like)
    plane = _plane(kspace, content, plane)
    case = prepare(content, style_path, mask_path, plane, wanted, shows)
    scaling = Scaling(0.0, case.scaling.hi)
    warnings = kspace.warnings if like is not None else (*kspace.warnings, _UNKNOWN.format(kspace.path.name))
    batch = [case.slices.number(n) for n, head in zip(case.numbers, case.heads, strict=True) if head]
    sampled = _to_voxels((filled != 0).any(axis=1)[None], kspace.axes, frequency=True)
    everywhere = _to_display(sampled, case.slices, frequency=True)[0].astype(np.float32)
    sampled = everywhere[batch]
    y = _fft2c(_to_display(images, case.slices)[:, batch]).swapaxes(0, 1) * sampled[:, None]
    # told from all slices with a head, so that one comes out the same alone and with the others
    measured = everywhere[case.whole_mask.any(axis=(1, 2))]
    missing = _missing(measured)
    if missing > GAPS:
        warnings = (*warnings, _FILLED.format(kspace.path.name, missing))
    swapped = dims[1] != case.slices.order[1]
    return KSpaceCase(
        case=dataclasses.replace(
            case, scaling=scaling, y=scaling.apply(case.raw), warnings=(*warnings, *case.warnings)
        ),
        y=np.ascontiguousarray(y / np.float32(scaling.hi)),
        sampled=sampled,
        window=_window(measured, (acquired[1], acquired[0]) if swapped else (acquired[0], acquired[1])),
        missing=missing,
    )


_FILLED = "{}: {:.0%} of k-space was not measured and is filled in by the denoiser; fine detail may be missing or wrong"
_UNKNOWN = "{}: k-space does not tell how the patient lay; left and right are not to be trusted without --geometry"


def _missing(sampled: np.ndarray) -> float:
    rows, columns = (_reach(sampled.max(axis=(0, other))) for other in (2, 1))
    return 1 - float(sampled[:, rows, columns].mean())


def _reach(measured: np.ndarray) -> slice:
    """The smallest range around the centre that holds all that was measured."""
    centre = len(measured) // 2
    offsets = np.flatnonzero(measured) - centre
    # an even number of coefficients has one more below the centre than above
    farthest = max(int(offsets.max()), -int(offsets.min()) - 1)
    return slice(centre - farthest, centre + farthest + 1)


def _window(sampled: np.ndarray, acquired: tuple[int, int]) -> tuple[int, int]:
    everywhere = np.all(sampled, axis=0, keepdims=True)[0]
    centre = [side // 2 for side in everywhere.shape]
    return _calibration(everywhere[:, centre[1]], acquired[0]), _calibration(everywhere[centre[0]], acquired[1])


def _calibration(line: np.ndarray, acquired: int) -> int:
    """A quarter of the acquired size, or twice the distance from the centre to the first gap."""
    centre = len(line) // 2
    gaps = np.flatnonzero(~line)
    free = int(np.abs(gaps - centre).min()) if gaps.size else acquired
    return max(1, min(acquired // 4, 2 * free - 1))


def _volume(magnitude: np.ndarray, kspace: KSpace, like: Volume | None) -> Volume:
    if like is not None:
        return Volume(magnitude, like.affine, like.header, kspace.path)
    sizes = np.ones(3)
    if kspace.zooms is not None:
        for axis, size in zip(kspace.axes, kspace.zooms, strict=True):
            sizes["ijk".index(axis[0])] = size
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = -sizes * (np.array(magnitude.shape) - 1) / 2
    header = nib.Nifti1Image(magnitude, affine).header
    header.set_xyzt_units("mm")
    return Volume(magnitude, affine, header, kspace.path)


def _plane(kspace: KSpace, content: Volume, plane: str) -> str:
    """The plane across the axis k."""
    own = next(name for name in PLANES if to_slices(content, name).axis == 2)
    if plane not in ("auto", own):
        raise UsageError(f"{kspace.path}: its slices are {own}, not {plane}; leave --plane out")
    return own


def _to_voxels(stack: np.ndarray, axes: tuple[str, str, str], frequency: bool = False) -> np.ndarray:
    """(coils, slices, rows, columns) -> (coils, i, j, k)."""
    dims = ["ijk".index(axis[0]) for axis in axes]
    flips = [axis.endswith("-") for axis in axes]
    return _flip(stack, flips, frequency).transpose(0, *(1 + np.argsort(dims)))


def _to_display(volume: np.ndarray, slices: Slices, frequency: bool = False) -> np.ndarray:
    """(coils, i, j, k) -> (coils, n, H, W), as `rnst_jax.io.planes.to_slices` cuts a volume."""
    return _flip(volume.transpose(0, *(1 + axis for axis in slices.order)), slices.flips, frequency)


def _flip(stack: np.ndarray, flips: tuple[bool, ...] | list[bool], frequency: bool) -> np.ndarray:
    """Reverse slices, rows and columns of (coils, slices, rows, columns).

    To reverse an image changes the phase of its k-space, and its frequencies f to -f; with an even number n of them
    -n / 2 stays at its index 0.
    """
    for axis in (1, 2, 3):
        if flips[axis - 1]:
            stack = np.flip(stack, axis)
            if frequency and axis > 1 and stack.shape[axis] % 2 == 0:
                stack = np.roll(stack, 1, axis)
    return stack


def _fft2c(x: np.ndarray) -> np.ndarray:
    """As `rnst_jax.physics.fft2c`, without JAX: a refusal must not wait for it."""
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, _AXES), norm="ortho"), _AXES)


def _ifft2c(y: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(y, _AXES), norm="ortho"), _AXES)
