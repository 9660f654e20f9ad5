"""What input is accepted. Everything that a header or a file size can tell is checked before any array is made."""

import contextlib
import gzip
import io
import math
import os
import pathlib
import stat
import zlib
from collections.abc import Iterator

import nibabel as nib
import numpy as np
from nibabel import imageglobals
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from rnst_jax.io.errors import RefusedInput

MAX_VOXELS = 2**29
"""The largest volume accepted, in voxels: 2 GiB as float32."""
_MAX_OFFSET = 2**26
"""Where the voxels may start at the latest, in bytes: header extensions larger than this are no scan's."""
_SLACK = 4096
"""Bytes allowed after the last voxel: some programs pad."""
_BLOCK = 2**20
_LARGE = 2**28
_EXPANSION = 200
"""Of a compressed file that becomes larger than `_LARGE` bytes: scans shrink 2- to 10-fold, empty masks 1000-fold."""
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)

NiftiHeader = nib.Nifti1Header  # Nifti2Header derives from it


@contextlib.contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Within, nibabel's log says nothing: its own suppressor lets Python's handler of last resort print."""
    before = imageglobals.logger.disabled
    imageglobals.logger.disabled = True
    try:
        yield
    finally:
        imageglobals.logger.disabled = before


def check_file(path: pathlib.Path) -> NiftiHeader:
    """Refuse a file that is not a sound NIfTI volume of real numbers, without loading its voxels.

    In this order: it exists, is a regular readable file and is named .nii or .nii.gz; the header parses; the volume is
    3-D (further axes of length 1 are allowed) of a real type and at most `MAX_VOXELS` large; the affine is
    finite and invertible; the file holds as many bytes as the header says. A compressed file is decompressed to its
    end, block by block and never further than the header says, so that a truncated file, a wrong checksum and a
    decompression bomb are all found in constant memory.

    Args:
        path: the file.

    Returns:
        The parsed header.

    Raises:
        RefusedInput: the file fails a check; the message names it, the fault and the remedy.
    """
    compressed = _check_place(path)
    try:
        with _open(path, compressed) as stream:
            start = stream.read(540)
    except _DAMAGED as error:
        raise _damaged(path) from error
    except OSError as error:
        raise RefusedInput(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not compressed and start.startswith(_GZIP_MAGIC):
        raise RefusedInput(f"{path}: is gzip-compressed; rename it to .nii.gz")
    header = _parse_header(path, start)
    expected = _check_header(path, header)
    check_affine(path, header)
    if compressed:
        check_expansion(path, expected)
    found = _length(path, compressed, expected + _SLACK)
    if found < expected:
        raise RefusedInput(
            f"{path}: truncated, {found} of the {expected} bytes that its header promises; copy or export it again"
        )
    if found > expected + _SLACK:
        raise RefusedInput(
            f"{path}: holds more data than the {expected} bytes that its header promises; export it again"
        )
    return header


def check_expansion(path: pathlib.Path, expected: int) -> None:
    """Refuse a small file that would become a very large array: a decompression bomb.

    Args:
        path: a file with compressed, or not even stored, contents.
        expected: bytes of the array by its header.

    Raises:
        RefusedInput: they are above 256 MiB and above 200 times the file's size.
    """
    size = path.stat().st_size
    if expected > max(_LARGE, _EXPANSION * size):
        raise RefusedInput(
            f"{path}: its {size} bytes promise {expected}, as no scan does; if it is one, store it uncompressed"
        )


def check_values(path: pathlib.Path, data: np.ndarray) -> None:
    """Refuse values that no reconstruction can start from.

    Raises:
        RefusedInput: a value is NaN or infinite (as float32), or all values are the same.
    """
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        raise RefusedInput(f"{path}: {bad} of {data.size} voxels are NaN or infinite; replace them (by 0, say) first")
    if data.min() == data.max():
        raise RefusedInput(f"{path}: all voxels are {data.flat[0]:g}, there is no image in it; check the export")


def check_affine(path: pathlib.Path, header: NiftiHeader) -> None:
    """Refuse an affine that is not finite or not invertible.

    Raises:
        RefusedInput: also where the header's quaternion is not one.
    """
    remedy = "set a valid sform or qform (nibabel's set_sform, or export it again)"
    try:
        with np.errstate(invalid="ignore"):  # of a signalling NaN
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except (ValueError, HeaderDataError) as error:
        raise RefusedInput(f"{path}: its qform is invalid; {remedy}") from error
    if not np.isfinite(affine).all():
        raise RefusedInput(f"{path}: its affine holds NaN or infinite numbers; {remedy}")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    # Relative to the voxel size, for voxels may be given in metres or micrometres.
    if sizes.min() == 0 or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-4:
        raise RefusedInput(f"{path}: its affine is singular, voxels have no volume; {remedy}")


def check_place(path: pathlib.Path, give: str) -> None:
    """Refuse what is no regular, readable file; ``give`` says in the message what is wanted.

    Raises:
        RefusedInput: it is missing, a folder, a device, or not readable.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RefusedInput(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise RefusedInput(f"{path}: cannot be read ({error.strerror}); check the path and permissions") from error
    if not stat.S_ISREG(mode):
        what = "a folder (for DICOM, convert it with dcm2niix)" if stat.S_ISDIR(mode) else "not a regular file"
        raise RefusedInput(f"{path}: is {what}; give {give}")
    if not os.access(path, os.R_OK):
        raise RefusedInput(f"{path}: cannot be read (permission denied); check its permissions")


def _check_place(path: pathlib.Path) -> bool:
    """Whether the file is compressed, by its name."""
    check_place(path, "a .nii or .nii.gz file")
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        raise RefusedInput(f"{path}: is not named .nii or .nii.gz; convert it to NIfTI (dcm2niix, nibabel) first")
    return name.endswith(".gz")


def _open(path: pathlib.Path, compressed: bool) -> io.BufferedIOBase:
    if not compressed:
        return path.open("rb")
    with path.open("rb") as stream:
        start = stream.read(4)
    if not start.startswith(_GZIP_MAGIC):
        remedy = "rename it to .nii" if start in (b"\x5c\x01\0\0", b"\x1c\x02\0\0") else "give a NIfTI file"
        raise RefusedInput(f"{path}: is named .gz but is not gzip-compressed; {remedy}")
    return gzip.open(path, "rb")


def _parse_header(path: pathlib.Path, start: bytes) -> NiftiHeader:
    size = {int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")}
    kind, magic = (nib.Nifti2Header, start[4:8]) if 540 in size else (nib.Nifti1Header, start[344:348])
    if not size & {348, 540} or not magic.startswith((b"n+", b"ni")):
        raise RefusedInput(f"{path}: is not a NIfTI file (no NIfTI header); convert it to NIfTI first")
    if magic.startswith(b"ni"):
        raise RefusedInput(f"{path}: is the header of a .hdr/.img pair; convert it to one .nii file")
    try:
        # nibabel mends small faults and logs that it does; the log would break the promise of one line per refusal.
        with quiet_nibabel():
            return kind.from_fileobj(io.BytesIO(start), check=True)
    except (HeaderDataError, WrapStructError, ValueError) as error:
        raise RefusedInput(f"{path}: its NIfTI header is damaged ({error}); export it again") from error


def _check_header(path: pathlib.Path, header: NiftiHeader) -> int:
    """The file's length in bytes, by its header."""
    dims = [int(n) for n in header["dim"]]
    count, shape = dims[0], tuple(dims[1 : 1 + max(dims[0], 0)])
    if not 1 <= count <= 7 or min(shape) < 1:
        raise RefusedInput(f"{path}: its header gives the impossible size {shape}; export it again")
    if count < 3:
        raise RefusedInput(f"{path}: is {count}-D, a 3-D volume is needed; add an axis of length 1")
    if any(n > 1 for n in shape[3:]):
        raise RefusedInput(
            f"{path}: is {count}-D {shape}, a 3-D volume is needed; split it (fslsplit) and give one part"
        )
    if (voxels := math.prod(shape)) > MAX_VOXELS:
        raise RefusedInput(f"{path}: {voxels} voxels are more than the {MAX_VOXELS} accepted; crop or split it")
    try:
        dtype = header.get_data_dtype()
        header.get_slope_inter()
        offset = int(header.get_data_offset())
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise RefusedInput(f"{path}: its NIfTI header is damaged ({error}); export it again") from error
    if dtype.kind == "c":
        raise RefusedInput(f"{path}: holds complex numbers; give the magnitude image")
    if dtype.kind not in "iuf":
        raise RefusedInput(
            f"{path}: holds colours or records, not grey values; convert it to one real number per voxel"
        )
    if not 0 <= offset <= _MAX_OFFSET:
        raise RefusedInput(f"{path}: its header puts the voxels at byte {offset}; export it again")
    return max(offset, header.single_vox_offset) + voxels * dtype.itemsize


def _length(path: pathlib.Path, compressed: bool, limit: int) -> int:
    """Bytes in the file once decompressed; counting stops soon after ``limit``."""
    if not compressed:
        return path.stat().st_size
    total = 0
    try:
        with _open(path, compressed) as stream:
            while total <= limit and (block := stream.read(_BLOCK)):
                total += len(block)
    except _DAMAGED as error:
        raise _damaged(path) from error
    return total


def _damaged(path: pathlib.Path) -> RefusedInput:
    return RefusedInput(f"{path}: truncated or damaged, its gzip stream does not end well; copy or download it again")
