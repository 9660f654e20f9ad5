"""Measured k-space from files: .npz, fastMRI HDF5 and ISMRMRD HDF5, all brought to one layout and one convention."""

import dataclasses
import math
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex
from numpy.lib import format as npy

from rnst_jax.io import guard
from rnst_jax.io.errors import RefusedInput, UsageError

# numpy's parser of array headers lets out errors of Python's own tokenizer
_UNSOUND = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError, RuntimeError),
    *(tokenize.TokenError, SyntaxError, MemoryError),
)
MAX_COEFFICIENTS = 2**28
"""The most complex numbers accepted, over slices and coils: 2 GiB."""
SUFFIXES = (".npz", ".h5", ".hdf5", ".mrd")
"""Names of files that are k-space without being declared so."""
_DEFAULT_AXES = {3: ("k", "j-", "i"), 4: ("k", "c", "j-", "i")}
_NAMES = {"c", "i", "j", "k", "i-", "j-", "k-"}
_SMALLEST_SIDE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class KSpace:
    """Fully or partly sampled Cartesian k-space of a stack of slices.

    Attributes:
        data: (slices, coils, rows, columns) complex64, the zero frequency at index size // 2; exactly 0 in all coils
            where nothing was measured. The image is the inverse transform, exponent +2 pi i.
        axes: the output's voxel axes that slices, rows and columns lie along, with a minus where the image runs
            against its axis: ("k", "j-", "i").
        zooms: size of a voxel in mm along slices, rows and columns (of the acquired matrix), if the file tells.
        path: the file.
        warnings: what the user should know, one line each.
    """

    data: Complex[np.ndarray, "slices coils rows columns"]
    axes: tuple[str, str, str]
    zooms: tuple[float, float, float] | None
    path: pathlib.Path
    warnings: tuple[str, ...] = ()


def is_kspace(path: pathlib.Path) -> bool:
    """Whether a file's name is one of k-space.

    Examples:
        >>> is_kspace(pathlib.Path("scan.h5")), is_kspace(pathlib.Path("scan.nii.gz"))
        (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def parse_axes(text: str) -> tuple[str, ...]:
    """The axes of an array of k-space from "j-,i-,k": voxel axes as in BIDS (a minus: against it), c for the coil.

    Raises:
        ValueError: not i, j and k once each, with at most one c.

    Examples:
        >>> parse_axes("k,c,j-,i")
        ('k', 'c', 'j-', 'i')
    """
    axes = tuple(part.strip() for part in text.split(","))
    if not set(axes) <= _NAMES or sorted(a[0] for a in axes if a != "c") != ["i", "j", "k"] or axes.count("c") > 1:
        raise ValueError(f"'{text}' does not name i, j and k once each (a minus behind: reversed), and c for coils")
    return axes


def read(
    path: pathlib.Path, key: str | None = None, axes: Sequence[str] | None = None, forward: bool = False
) -> KSpace:
    """Read k-space after checks in the manner of `rnst_jax.io.guard`: sizes before any array is made.

    The format is told by the first bytes, not by the name: a zip archive is .npz, an HDF5 file with a dataset
    ``kspace`` (or ``key``) is fastMRI's, one with a group that holds ``xml`` and ``data`` is ISMRMRD's.

    Args:
        path: the file.
        key: the array's name; by default ``kspace``, or the only array of an .npz. The group's name for ISMRMRD.
        axes: what the array's axes are, see `parse_axes`; k is across the slices, and of i and j the first is the
            rows of k-space. By default k,[c,]j-,i: slices, coils, rows, columns, so that a viewer shows the image the
            way up in which the array is printed.
        forward: the image is the forward transform (exponent -2 pi i) of this k-space.

    Raises:
        RefusedInput: the file fails a check; the message names it, the fault and the remedy.
        UsageError: ``axes`` do not fit the array.
    """
    path = pathlib.Path(path)
    guard.check_place(path, "k-space as .npz, fastMRI .h5 or ISMRMRD .h5")
    with path.open("rb") as stream:
        start = stream.read(8)
    zooms, warnings = None, ()
    if start.startswith(b"PK"):
        array = _read_npz(path, key)
    elif start == b"\x89HDF\r\n\x1a\n":
        from rnst_jax.io import kspace_hdf5

        array, zooms, warnings = kspace_hdf5.read(path, key)
    else:
        raise RefusedInput(f"{path}: is neither .npz nor HDF5; give k-space as .npz, fastMRI .h5 or ISMRMRD .h5")
    check_shape(path, array.shape)
    axes = _DEFAULT_AXES[array.ndim] if axes is None else tuple(axes)
    if len(axes) != array.ndim:
        raise UsageError(
            f"{path}: its array has {array.ndim} axes {array.shape}, --kspace-axes names {len(axes)} ({','.join(axes)})"
        )
    with np.errstate(over="ignore"):
        array = np.asarray(array, np.complex64)
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise RefusedInput(f"{path}: {bad} of {array.size} coefficients are NaN or infinite; replace them by 0 first")
    if not array.any():
        raise RefusedInput(f"{path}: all coefficients are 0, nothing was measured; check the export")
    data, order = _arrange(array, axes)
    if min(data.shape[2:]) < _SMALLEST_SIDE:
        raise RefusedInput(
            f"{path}: its slices are {data.shape[2]} x {data.shape[3]} coefficients, at least {_SMALLEST_SIDE} x "
            f"{_SMALLEST_SIDE} are needed; check --kspace-axes"
        )
    # the forward transform is the inverse of the conjugate, conjugated
    return KSpace(np.conj(data) if forward else data, order, zooms, path, warnings)


def check_shape(path: pathlib.Path, shape: tuple[int, ...]) -> None:
    """Refuse an array that is no stack of slices, or too large.

    Raises:
        RefusedInput: not 3 or 4 axes, an empty axis, or more than `MAX_COEFFICIENTS`.
    """
    if len(shape) not in _DEFAULT_AXES:
        raise RefusedInput(
            f"{path}: its array has {len(shape)} axes {shape}; give (slices, rows, columns) or (slices, coils, rows, "
            "columns)"
        )
    if min(shape) < 1:
        raise RefusedInput(f"{path}: its array is empty {shape}; export it again")
    if math.prod(shape) > MAX_COEFFICIENTS:
        raise RefusedInput(
            f"{path}: {math.prod(shape)} coefficients are more than the {MAX_COEFFICIENTS} accepted; give fewer slices "
            "or coils"
        )


def _arrange(array: np.ndarray, axes: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, str, str]]:
    """The array as (slices, coils, rows, columns). The axis k is across the slices, whatever stands first."""
    if "c" not in axes:
        array, axes = array[None], ("c", *axes)
    across = next(n for n, axis in enumerate(axes) if axis[0] == "k")
    plane = [n for n, axis in enumerate(axes) if axis[0] in "ij"]
    data = np.ascontiguousarray(array.transpose(across, axes.index("c"), *plane))
    return data, (axes[across], axes[plane[0]], axes[plane[1]])


def _read_npz(path: pathlib.Path, key: str | None) -> np.ndarray:
    """One array of an archive; its header is checked before its numbers are unpacked, and no pickle is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
            name = key or ("kspace" if "kspace" in arrays or len(arrays) != 1 else next(iter(arrays)))
            if name not in arrays:
                found = ", ".join(sorted(arrays)[:8]) or "none"
                raise RefusedInput(f"{path}: holds no array '{name}' (it has: {found}); name one with --kspace-key")
            with archive.open(arrays[name]) as stream:
                version = npy.read_magic(stream)
                if version not in ((1, 0), (2, 0)):
                    raise ValueError(f"version {version} of the .npy format")
                header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, fortran, dtype = header(stream)
                if dtype.kind != "c":
                    raise RefusedInput(f"{path}: '{name}' holds {dtype}, not complex numbers; give k-space")
                check_shape(path, shape)
                expected = math.prod(shape) * dtype.itemsize
                guard.check_expansion(path, expected)
                # one byte more than promised tells a longer file, and reading to the end compares the checksum
                raw = stream.read(expected + 1)
    except _UNSOUND as error:
        raise RefusedInput(f"{path}: is no sound .npz archive ({error}); save it again with numpy.savez") from error
    if len(raw) != expected:
        raise RefusedInput(f"{path}: '{name}' does not hold the {expected} bytes that its header says; save it again")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
