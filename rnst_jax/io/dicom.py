"""DICOM series in: classic MR files of one series, or one enhanced multi-frame file.

Source: DICOM PS3.3 2024, sections C.7.6.2 (image plane), C.7.6.16 (functional groups), C.11.1 (modality LUT).
Needs pydicom, which is imported when it is used.
"""

import math
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from rnst_jax.io import guard
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.nifti import Volume

_MAGIC = slice(128, 132)
_DICOMDIR = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SAME_ANGLE = 1e-3
"""Largest difference of two direction cosines that are the same."""
_SAME_PLACE = 0.01
"""Largest deviation of a slice from its place, in slice distances."""

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's patient axes are L, P, S."""


class Frame(NamedTuple):
    """One slice of a series.

    Attributes:
        path: its file.
        index: its number in the file.
        position: (3,) centre of the first pixel in mm, L P S.
        orientation: (6,) direction cosines of a row and of a column.
        spacing: between rows and between columns in mm.
        thickness: distance to the next slice as the header says, in mm; 0 where it does not.
        scale: slope and intercept from stored values to the scanner's.
        shape: rows and columns.
    """

    path: pathlib.Path
    index: int
    position: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float]
    thickness: float
    scale: tuple[float, float]
    shape: tuple[int, int]


def is_dicom(path: pathlib.Path) -> bool:
    """Whether a file is DICOM by its first bytes, or a folder holds such a file."""
    if path.is_dir():
        return any(is_dicom(child) for child in path.iterdir() if child.is_file())
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(_MAGIC.stop)[_MAGIC] == b"DICM"
    except OSError:  # guard says what is wrong with it
        return False


def files(path: pathlib.Path) -> list[pathlib.Path]:
    """The DICOM files of a series: the file itself, or those that lie in a folder; a DICOMDIR is none.

    Raises:
        RefusedInput: there is none.
    """
    if not path.is_dir():
        guard.check_place(path, "a DICOM file or a folder of them")
        return [path]
    found = sorted(
        child for child in path.iterdir() if child.is_file() and child.name.upper() != "DICOMDIR" and is_dicom(child)
    )
    if not found:
        raise RefusedInput(f"{path}: no DICOM file in this folder; check the path")
    return found


def frames(path: pathlib.Path) -> list[Frame]:
    """The slices of a series in the order of their places along the normal, checked without reading a pixel.

    Args:
        path: a folder that holds the files of one series, or one file.

    Raises:
        RefusedInput: no series of one geometry that makes a volume.
        UsageError: pydicom is not installed.
    """
    found: list[Frame] = []
    series: dict[str, Any] = {}
    for file in files(path):
        found_header = header(file)
        series[_text(found_header, "SeriesInstanceUID", file)] = found_header.get("SeriesNumber", "?")
        found += _frames(found_header, file)
        if sum(math.prod(frame.shape) for frame in found) > guard.MAX_VOXELS:
            raise RefusedInput(f"{path}: more than the {guard.MAX_VOXELS} voxels accepted; split the series")
    if len(series) > 1:
        numbers = ", ".join(str(number) for number in series.values())
        raise RefusedInput(f"{path}: holds {len(series)} series (numbers {numbers}); put one into a folder of its own")
    return _in_order(path, found)


def read(path: pathlib.Path) -> Volume:
    """Read a series as a volume, voxel axes along the rows (left to right), the columns (downwards) and the slices.

    Values are slope times stored value plus intercept, each frame with its own.

    Raises:
        RefusedInput: see `frames`; or the pixels cannot be decoded.
        UsageError: pydicom is not installed.
    """
    found = frames(path)
    rows, cols = found[0].shape
    data = np.empty((cols, rows, len(found)), np.float32)
    decoded: tuple[pathlib.Path | None, np.ndarray] = (None, np.empty(0))
    for k, frame in enumerate(found):
        if decoded[0] != frame.path:
            decoded = (frame.path, _pixels(frame.path))
        slope, intercept = frame.scale
        with np.errstate(over="ignore", invalid="ignore"):
            data[..., k] = decoded[1][frame.index].T * slope + intercept
    guard.check_values(path, data)
    affine = _affine(found)
    geometry = nib.Nifti1Header()
    geometry.set_data_dtype(np.float32)
    geometry.set_data_shape(data.shape)
    geometry.set_xyzt_units("mm")
    for place in (geometry.set_sform, geometry.set_qform):
        place(affine, 1)
    guard.check_affine(path, geometry)
    return Volume(data, affine, geometry, path)


def _pydicom(path: pathlib.Path) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise UsageError(f"{path}: DICOM needs pydicom; pip install 'rnst-jax[dicom]'") from error
    return pydicom


def header(path: pathlib.Path) -> Any:
    """The elements of one DICOM file but for its pixels, as a pydicom dataset.

    Raises:
        RefusedInput: it cannot be read, or is no image.
        UsageError: pydicom is not installed.
    """
    pydicom = _pydicom(path)
    guard.check_place(path, "a DICOM file")
    # What a parser of hostile bytes may raise is not a list that anybody keeps: whatever it is, the file is refused.
    try:
        with warnings.catch_warnings(action="ignore"):
            meta = pydicom.filereader.read_file_meta_info(path)
            syntax = str(meta.get("TransferSyntaxUID", ""))
            kind = str(meta.get("MediaStorageSOPClassUID", ""))
            if kind != _DICOMDIR and syntax != _DEFLATED:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
                dataset.walk(lambda *_: None)
                return dataset
    except (Exception, RecursionError) as error:
        raise RefusedInput(f"{path}: is no readable DICOM file ({type(error).__name__}); export it again") from error
    if kind == _DICOMDIR:
        raise RefusedInput(f"{path}: is a DICOMDIR, a directory of images; give the folder of one series")
    raise RefusedInput(f"{path}: is compressed as a whole (deflated transfer syntax); convert it with dcmconv +te")


def _frames(header: Any, path: pathlib.Path) -> Iterator[Frame]:
    """The frames of one file."""
    try:
        with warnings.catch_warnings(action="ignore"):
            shape = int(header["Rows"].value), int(header["Columns"].value)
            count = int(header.get("NumberOfFrames", None) or 1)
            grey = str(header.get("PhotometricInterpretation", "MONOCHROME2")), int(header.get("SamplesPerPixel", 1))
            if grey != ("MONOCHROME2", 1):
                raise RefusedInput(f"{path}: its pixels are {grey[0]}, MONOCHROME2 is needed; convert it (dcmtk)")
            if min(*shape, count) < 1 or math.prod(shape) * count > guard.MAX_VOXELS:
                raise RefusedInput(f"{path}: {count} frames of {shape[0]} x {shape[1]} are not accepted; split it")
            _check_length(header, path, math.prod(shape) * count)
            for index in range(count):
                yield _frame(header, path, index, shape)
    except RefusedInput:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else type(error).__name__
        raise RefusedInput(
            f"{path}: lacks what places an image in the scanner ({what}); give MR images of one series"
        ) from error


def _check_length(header: Any, path: pathlib.Path, pixels: int) -> None:
    """Refuse uncompressed files that hold less than they promise, and compressed ones that hold far too much."""
    expected = pixels * int(header["BitsAllocated"].value) // 8
    if header.file_meta.TransferSyntaxUID.is_compressed:
        guard.check_expansion(path, expected)
    elif path.stat().st_size < expected:
        raise RefusedInput(f"{path}: truncated, its header promises {expected} bytes of pixels; copy it again")


def _frame(header: Any, path: pathlib.Path, index: int, shape: tuple[int, int]) -> Frame:
    groups = []
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = header.get("SharedFunctionalGroupsSequence", None) or [{}]
        groups = [header.PerFrameFunctionalGroupsSequence[index], shared[0]]
    elif index > 0:
        raise RefusedInput(f"{path}: several frames without a place for each; export it as single files")

    def look(sequence: str, name: str, default: Any = None) -> Any:
        for place in groups:
            if sequence in place and name in place[sequence].value[0]:
                return place[sequence].value[0][name].value
        return header[name].value if default is None or name in header else default

    measures = "PixelMeasuresSequence"
    position = _numbers(look("PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = _numbers(look("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    rows, cols = _numbers(look(measures, "PixelSpacing"), 2)
    gap = float(look(measures, "SpacingBetweenSlices", 0) or look(measures, "SliceThickness", 0) or 0)
    values = "PixelValueTransformationSequence"
    scale = float(look(values, "RescaleSlope", 1)), float(look(values, "RescaleIntercept", 0))
    if not all(map(math.isfinite, (gap, *scale))) or min(rows, cols) <= 0:
        raise ValueError("numbers")
    return Frame(path, index, position, orientation, (float(rows), float(cols)), abs(gap), scale, shape)


def _numbers(values: Any, count: int) -> np.ndarray:
    found = np.asarray([float(value) for value in values])
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError("numbers")
    return found


def _text(header: Any, name: str, path: pathlib.Path) -> str:
    value = header.get(name, None)
    if not value:
        raise RefusedInput(f"{path}: has no {name}; give MR images of one series")
    return str(value)


def _in_order(path: pathlib.Path, found: list[Frame]) -> list[Frame]:
    """Sorted along the normal, if they are of one geometry and evenly spaced."""
    first = found[0]
    for frame in found:
        if frame.shape != first.shape or not np.allclose(frame.spacing, first.spacing, rtol=1e-3, atol=0):
            raise RefusedInput(f"{path}: images of different sizes or pixel spacings; keep those of one scan")
        if np.abs(frame.orientation - first.orientation).max() > _SAME_ANGLE:
            raise RefusedInput(f"{path}: images of different orientations (a localizer?); keep those of one scan")
    row, col = first.orientation[:3], first.orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(col)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(row @ col) > 1e-2:
        raise RefusedInput(f"{path}: its ImageOrientationPatient is no pair of perpendicular directions; export again")
    normal = np.cross(row, col)
    found = sorted(found, key=lambda frame: float(frame.position @ normal))
    if len(found) > 1:
        steps = np.diff([frame.position for frame in found], axis=0)
        step = steps.mean(axis=0)
        length = float(np.linalg.norm(step))
        if np.linalg.norm(steps, axis=1).min() < 1e-3:
            raise RefusedInput(f"{path}: several images at one place (echoes, repetitions, phases?); keep one of each")
        if np.abs(steps - step).max() > _SAME_PLACE * length:
            raise RefusedInput(f"{path}: its slices are not evenly spaced, some are missing or of another scan")
        if step @ normal < length * (1 - _SAME_ANGLE):
            raise RefusedInput(f"{path}: its slices are shifted against each other (tilted); resample it first")
    elif first.thickness <= 0:
        raise RefusedInput(f"{path}: one slice without a SliceThickness; give the whole series")
    return found


def _affine(found: list[Frame]) -> np.ndarray:
    """From voxel indices (column, row, slice) to scanner coordinates, RAS+."""
    first = found[0]
    row, col = first.orientation[:3], first.orientation[3:]
    if len(found) > 1:
        step = (found[-1].position - first.position) / (len(found) - 1)
    else:
        step = np.cross(row, col) * first.thickness
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * first.spacing[1], col * first.spacing[0], step, first.position])
    return TO_RAS @ affine


def _pixels(path: pathlib.Path) -> np.ndarray:
    """The stored values of a file, (frames, rows, columns)."""
    pydicom = _pydicom(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = pydicom.dcmread(path)
            pixels = np.asarray(dataset.pixel_array)
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise RefusedInput(f"{path}: its pixels cannot be decoded ({message}); decompress it with dcmdjpeg") from error
    if pixels.dtype.kind not in "iuf":
        raise RefusedInput(f"{path}: its pixels are {pixels.dtype}, not numbers; export it again")
    return pixels.reshape(-1, *pixels.shape[-2:])
