"""NIfTI volumes in and out, geometry preserved."""

import contextlib
import dataclasses
import gzip
import pathlib
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float
from nibabel.filebasedimages import ImageFileError

from rnst_jax.io import guard
from rnst_jax.io.atomic import check_output, replacing, write_json
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.version import __version__

__all__ = [
    "SUFFIXES",
    "Volume",
    "check_output_volume",
    "millimetres",
    "read",
    "same_grid",
    "stem",
    "sub_volume",
    "write",
    "write_json",
]

SUFFIXES = (".nii", ".nii.gz")


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A scan in memory.

    Attributes:
        data: (i, j, k) float32, in the file's voxel order.
        affine: (4, 4) float64, from voxel indices to scanner coordinates, RAS+.
        header: the NIfTI header.
        path: the file it was read from.
    """

    data: Float[np.ndarray, "i j k"]
    affine: Float[np.ndarray, "4 4"]
    header: guard.NiftiHeader
    path: pathlib.Path


def read(path: pathlib.Path, constant: bool = False) -> Volume:
    """Read a NIfTI volume after all checks of `rnst_jax.io.guard`.

    Args:
        path: a .nii or .nii.gz file.
        constant: whether all values may be the same (a mask of ones).

    Raises:
        RefusedInput: the file fails a check.
    """
    path = pathlib.Path(path)
    guard.check_file(path)
    try:
        with guard.quiet_nibabel(), np.errstate(over="ignore", invalid="ignore"):
            image = nib.load(path)
            assert isinstance(image, nib.Nifti1Pair)
            # A float64 too large for float32 becomes infinite, and is refused as such.
            data = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, ValueError, ImageFileError) as error:
        raise RefusedInput(f"{path}: cannot be loaded ({error}); export it again") from error
    data = data.reshape(data.shape[:3])
    if not (constant and np.isfinite(data).all()):
        guard.check_values(path, data)
    return Volume(data, np.asarray(image.affine, dtype=np.float64), image.header, path)


def millimetres(header: Any) -> float:
    """The length of the header's unit of space; that of an unknown one is taken to be a millimetre.

    Examples:
        >>> header = nib.Nifti1Header()
        >>> header.set_xyzt_units("meter")
        >>> millimetres(header)
        1000.0
    """
    return {"meter": 1e3, "micron": 1e-3}.get(header.get_xyzt_units()[0], 1.0)


def stem(path: pathlib.Path) -> str:
    """A file's name without .nii or .nii.gz.

    Examples:
        >>> stem(pathlib.Path("a.b.nii.gz"))
        'a.b'
    """
    return path.name[: path.name.lower().rindex(".nii")]


def check_output_volume(path: pathlib.Path, inputs: tuple[pathlib.Path, ...] = (), force: bool = False) -> None:
    """As `rnst_jax.io.atomic.check_output`, and the name must be one of NIfTI's.

    Raises:
        UsageError: the place or the name cannot be used.
    """
    if not path.name.lower().endswith(SUFFIXES):
        raise UsageError(f"{path}: outputs are NIfTI files; give a name that ends in .nii.gz or .nii")
    check_output(path, inputs, force)


def sidecar(path: pathlib.Path) -> pathlib.Path:
    """The .json beside a NIfTI file.

    Examples:
        >>> sidecar(pathlib.Path("out/a.nii.gz")).as_posix()
        'out/a.json'
    """
    return path.with_name(f"{stem(path)}.json")


def check_outputs(path: pathlib.Path, inputs: tuple[pathlib.Path, ...] = (), force: bool = False) -> pathlib.Path:
    """`check_output_volume` for a NIfTI file and `check_output` for its sidecar, which is returned."""
    check_output_volume(path, inputs, force)
    check_output(sidecar(path), inputs, force)
    return sidecar(path)


def write(path: pathlib.Path, data: np.ndarray, like: Volume, force: bool = False) -> None:
    """Write float32 NIfTI with the geometry of another volume, whole or not at all.

    The affine, qform and sform with their codes, voxel sizes and units are those of ``like``. Header extensions and
    free text are left out: they can hold the patient's name.

    Args:
        path: the output, .nii or .nii.gz.
        data: the shape of ``like.data``.
        like: the volume whose geometry is taken.
        force: whether an existing file may be replaced.

    Raises:
        UsageError: the output exists without ``force``, is the file of ``like``, or its folder is missing.
        ValueError: another shape.
    """
    path = pathlib.Path(path)
    if data.shape != like.data.shape:
        raise ValueError(f"the data have shape {data.shape}, the volume {like.data.shape}")
    check_output_volume(path, (like.path,), force)
    kind = nib.Nifti2Image if isinstance(like.header, nib.Nifti2Header) else nib.Nifti1Image
    header = like.header.copy()
    header.extensions.clear()
    header.set_data_dtype(np.float32)
    header["cal_min"] = header["cal_max"] = 0
    header.set_data_offset(0)  # nibabel puts the voxels right behind the header
    for field in {"db_name", "data_type", "aux_file", "intent_name"} & set(header):  # NIfTI-2 has dropped two
        header[field] = b""
    header["descrip"] = f"synthetic image, rnst_jax {__version__}".encode()
    image = kind(np.asarray(data, dtype=np.float32), like.affine, header)
    with contextlib.ExitStack() as stack:
        stream: Any = stack.enter_context(replacing(path, force))
        if path.name.lower().endswith(".gz"):
            # Without name and time in the gzip header, equal images are equal files.
            stream = stack.enter_context(gzip.GzipFile("", "wb", 6, stream, mtime=0))
        image.to_stream(stream)


def sub_volume(volume: Volume, axis: int, start: int, stop: int) -> Volume:
    """The slices ``start`` to ``stop - 1`` along a voxel axis, at their place in the scanner.

    The origin of qform and sform moves by ``start`` voxels, so that the part overlays the whole in any viewer.
    """
    index = [slice(None)] * 3
    index[axis] = slice(start, stop)
    shift = np.eye(4)
    shift[axis, 3] = start
    header = volume.header.copy()
    codes = int(header["qform_code"]), int(header["sform_code"])
    data, affine = volume.data[tuple(index)], volume.affine @ shift
    header.set_data_shape(data.shape)
    # The timing of the slices no longer fits.
    for field in ("slice_start", "slice_end", "slice_code", "slice_duration"):
        header[field] = 0
    if codes[0]:
        header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = (np.asarray(volume.header.get_qform()) @ shift)[
            :3, 3
        ]
    if codes[1]:
        header.set_sform(np.asarray(volume.header.get_sform()) @ shift, codes[1])
    if not any(codes):
        # Without a code, a reader centres the grid by its size, which has changed; say where it is (2: aligned).
        header.set_sform(affine, 2)
    return Volume(data, affine, header, volume.path)


def same_grid(a: Volume, b: Volume) -> bool:
    """Whether two volumes have the same shape and, to a hundredth of a voxel, the same affine."""
    size = float(np.linalg.norm(a.affine[:3, :3], axis=0).min())
    return a.data.shape == b.data.shape and bool(np.abs(a.affine - b.affine).max() < 0.01 * size)
