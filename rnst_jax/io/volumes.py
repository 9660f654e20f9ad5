"""A scan from a file of any kind that is read as a volume: NIfTI or DICOM."""

import hashlib
import pathlib

from rnst_jax import checksum
from rnst_jax.io import dicom, guard, nifti
from rnst_jax.io.nifti import Volume


def check(path: pathlib.Path) -> None:
    """Refuse what its header or its size tells, before any array is made.

    Raises:
        RefusedInput: see `rnst_jax.io.guard.check_file` and `rnst_jax.io.dicom.frames`.
    """
    if dicom.is_dicom(path):
        dicom.frames(path)
    else:
        guard.check_file(path)


def read(path: pathlib.Path, constant: bool = False) -> Volume:
    """Read a NIfTI file, a DICOM file or a folder with one DICOM series.

    Args:
        path: where it is.
        constant: whether all values may be the same (a mask of ones); NIfTI only.

    Raises:
        RefusedInput: see `rnst_jax.io.nifti.read` and `rnst_jax.io.dicom.read`.
    """
    return dicom.read(path) if dicom.is_dicom(path) else nifti.read(path, constant)


def label(path: pathlib.Path) -> str:
    """What outputs call an input: a file's name without its folders; no name of DICOM, which is often the patient's.

    Examples:
        >>> label(pathlib.Path("ward/a.nii.gz"))
        'a.nii.gz'
    """
    return "DICOM series" if dicom.is_dicom(path) else path.name


def sha256(path: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal; of a DICOM folder that of the sorted sha256 of its files."""
    if not path.is_dir():
        return checksum.sha256(path)
    return hashlib.sha256("".join(sorted(map(checksum.sha256, dicom.files(path)))).encode()).hexdigest()
