"""DICOM series for tests, made with pydicom: classic files and one enhanced multi-frame file."""

import pathlib

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

NAME, NUMBER = "DOE^JANE^SECRET", "ID-4711-SECRET"
"""What must never be found in an output."""

ROW, COL = np.array([0.0, 1, 0]), np.array([0.0, 0, -1])
"""A sagittal series: rows run to posterior, columns to inferior."""
AXIAL = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
ORIGIN = np.array([-30.0, -60, 80])
SPACING, DISTANCE = (2.0, 1.5), 5.0
MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


def position(k, row=ROW, col=COL):
    return ORIGIN + k * DISTANCE * np.cross(row, col)


def common(shape, series="series", sop=MR, instance="0"):
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = sop, generate_uid(entropy_srcs=[series, instance])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    made.StudyInstanceUID, made.FrameOfReferenceUID = generate_uid(entropy_srcs=["study"]), generate_uid()
    made.PatientName, made.PatientID, made.PatientBirthDate = NAME, NUMBER, "19700101"
    made.ReferringPhysicianName, made.InstitutionName = "HOUSE^SECRET", "SECRET HOSPITAL"
    made.SeriesDescription, made.SeriesNumber, made.Modality = "t2 SECRET", 7, "MR"
    made.MagneticFieldStrength, made.EchoTime, made.RepetitionTime = 0.055, 200, 1500
    made.Rows, made.Columns = shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop), UID(made.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    return made


def classic(folder, stored, scales=None, order=None, change=None, series="series", axes=(ROW, COL)):
    """Write stored values (frames, rows, columns) as one file each; returns the folder.

    Args:
        folder: is made.
        stored: uint16.
        scales: slope and intercept per frame.
        order: in which order the files are named.
        change: called with (k, dataset) before it is written.
        series: which one.
        axes: directions of its rows and columns.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    for k, image in enumerate(stored):
        made = common(image.shape, series, instance=str(k))
        made.ImagePositionPatient, made.ImageOrientationPatient = list(position(k, *axes)), [*axes[0], *axes[1]]
        made.PixelSpacing, made.SliceThickness = list(SPACING), DISTANCE
        made.RescaleSlope, made.RescaleIntercept = (1, 0) if scales is None else scales[k]
        made.InstanceNumber = k + 1
        made.PixelData = image.astype("<u2").tobytes()
        if change:
            change(k, made)
        number = k if order is None else order[k]
        made.save_as(folder / f"{series}{number:03d}", enforce_file_format=True)
    return folder


def enhanced(path, stored, scales, order):
    """Write the same as one multi-frame file, its frames in another order."""
    made = common(stored.shape[1:], sop=ENHANCED)
    made.NumberOfFrames = len(stored)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [*ROW, *COL]
    measures.PixelSpacing, measures.SliceThickness = list(SPACING), DISTANCE
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(position(k))
        values.RescaleSlope, values.RescaleIntercept = scales[k]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.PixelData = stored[list(order)].astype("<u2").tobytes()
    made.save_as(path, enforce_file_format=True)
    return path
