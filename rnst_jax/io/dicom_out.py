"""A derived DICOM series out: new UIDs, DERIVED\\SECONDARY, and nothing of the patient unless asked.

Source: DICOM PS3.3 2024, sections C.8.3.1 (MR image), C.12.4 (derivation); PS3.15 E (de-identification).
"""

import hashlib
import os
import pathlib
import re
from typing import Any

import numpy as np

from rnst_jax.io import atomic, dicom
from rnst_jax.io.errors import UsageError
from rnst_jax.io.nifti import Volume
from rnst_jax.version import __version__

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_OURS = re.compile(r"[0-9]{5}\.dcm")
_LARGEST = 2**16 - 1

_PATIENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)
"""What ties a series to its patient and study."""

_UNKNOWN = (*(name for name in _PATIENT if not name.endswith(("UID", "Age", "Description"))), "Manufacturer")
"""Elements that an MR image must have, and may have empty."""

_SEQUENCE = ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime")
_SEQUENCE += ("EchoTrainLength", "InversionTime", "MagneticFieldStrength", "PatientPosition", "BodyPartExamined")


def check(folder: pathlib.Path, force: bool = False) -> None:
    """Refuse a folder that cannot become the series.

    Raises:
        UsageError: it exists and is not a series of ours that ``force`` may replace; or its parent is missing.
    """
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: its folder does not exist or is not writable; choose another place")
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder}: is no folder; choose another name")
    if not all(_OURS.fullmatch(path.name) and _is_ours(path) for path in folder.iterdir()):
        raise UsageError(f"{folder}: holds other files than a series of ours; choose another name")
    if not force:
        raise UsageError(f"{folder}: exists; choose another name or give --force to replace it")


def _is_ours(path: pathlib.Path) -> bool:
    return dicom.is_dicom(path) and str(dicom.header(path).get("SoftwareVersions", "")).startswith("rnst_jax")


def write(
    folder: pathlib.Path,
    data: np.ndarray,
    like: Volume,
    description: str,
    keep_patient: bool = False,
    force: bool = False,
) -> None:
    """Write a volume as single-frame MR images into a new folder, whole or not at all.

    Stored values are 16 bits with a slope and an intercept that take in all slices. UIDs are made from the pixels and
    the source, so that the same result has the same UIDs.

    Args:
        folder: what is made.
        data: (i, j, k), of the shape of ``like.data``.
        like: the volume that the series is derived from, read by `rnst_jax.io.dicom.read`.
        description: what was done, for DerivationDescription.
        keep_patient: keep the patient, the study and the frame of reference, and refer to the source images.
        force: whether a series of ours may be replaced.

    Raises:
        UsageError: see `check`.
        RefusedInput: the source cannot be read any more.
    """
    check(folder, force)
    sources = dicom.files(like.path)
    header = dicom.header(sources[0])
    low, high = float(data.min()), float(data.max())
    slope = (high - low) / _LARGEST or 1.0
    stored = np.round((data - low) / slope).astype("<u2")
    seed = hashlib.sha256(stored.tobytes() + like.affine.tobytes() + str(header.SOPInstanceUID).encode()).hexdigest()
    common = _common(header, seed, description, keep_patient)
    if keep_patient:
        common.SourceImageSequence = [_reference(path) for path in sources]
    common.RescaleSlope, common.RescaleIntercept, common.RescaleType = _decimal(slope), _decimal(low), "US"
    common.WindowCenter, common.WindowWidth = _decimal((high + low) / 2), _decimal(max(high - low, 1))
    with atomic.replacing_folder(folder) as place:
        for k in range(data.shape[2]):
            _slice(common, stored[..., k], like.affine, k, seed).save_as(
                place / f"{k + 1:05d}.dcm", enforce_file_format=True
            )


def _common(header: Any, seed: str, description: str, keep_patient: bool) -> Any:
    """The elements that all images share."""
    from pydicom.dataset import Dataset

    made = Dataset()
    made.SOPClassUID, made.Modality = _MR_IMAGE, "MR"
    for name in _UNKNOWN:
        setattr(made, name, "")
    made.StudyInstanceUID, made.FrameOfReferenceUID = _uid(seed, "study"), _uid(seed, "place")
    made.PatientIdentityRemoved = "NO" if keep_patient else "YES"
    if not keep_patient:
        made.DeidentificationMethod = "rnst_jax: only geometry and sequence are taken from the source"
    for name in (*_SEQUENCE, *(_PATIENT if keep_patient else ())):
        if name in header:
            made[name] = header[name]
    made.ScanningSequence, made.SequenceVariant = (
        made.get("ScanningSequence", "RM"),
        made.get("SequenceVariant", "NONE"),
    )
    empty = ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime")
    for name in (*empty, "PatientPosition", "Laterality"):
        made.setdefault(name, None)
    made.SeriesInstanceUID = _uid(seed, "series")
    made.SeriesNumber = int(header.get("SeriesNumber", None) or 0) + 1000
    made.SeriesDescription = "RNST synthetic, research use only"
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER"]  # an MR image must have a third value
    made.DerivationDescription = description
    made.SoftwareVersions = f"rnst_jax {__version__}"
    made.BurnedInAnnotation, made.LossyImageCompression = "NO", header.get("LossyImageCompression", None) or "00"
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    return made


def _slice(common: Any, stored: np.ndarray, affine: np.ndarray, k: int, seed: str) -> Any:
    """One image: slice k of the volume, columns i and rows j."""
    import copy

    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    made = copy.copy(common)
    lps = dicom.TO_RAS @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / sizes
    made.SOPInstanceUID, made.InstanceNumber = _uid(seed, f"image {k}"), k + 1
    made.Columns, made.Rows = stored.shape
    made.PixelSpacing = [_decimal(sizes[1]), _decimal(sizes[0])]
    made.SliceThickness = made.SpacingBetweenSlices = _decimal(sizes[2])
    made.ImageOrientationPatient = [_decimal(v) for v in directions[:, :2].T.ravel()]
    made.ImagePositionPatient = [_decimal(v) for v in (lps @ [0, 0, k, 1])[:3]]
    made.PixelData = np.ascontiguousarray(stored.T).tobytes()
    made["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(_MR_IMAGE), UID(made.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    return made


def _reference(path: pathlib.Path) -> Any:
    from pydicom.dataset import Dataset

    header, made = dicom.header(path), Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return made


def _uid(seed: str, role: str) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[seed, role])


def _decimal(value: float) -> str:
    """A number as DICOM's decimal string, which has 16 characters at most."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
