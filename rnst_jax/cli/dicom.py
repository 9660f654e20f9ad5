"""``rnst reconstruct --dicom-out``: the result as a derived DICOM series."""

import argparse
import pathlib

import numpy as np

from rnst_jax.cli import options
from rnst_jax.io import dicom, dicom_out
from rnst_jax.io.errors import UsageError
from rnst_jax.io.nifti import Volume


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --dicom-out and --keep-patient."""
    group = parser.add_argument_group("DICOM", "CONTENT, STYLE and MASK may be a DICOM file or a folder of one series")
    group.add_argument(
        "--dicom-out", type=pathlib.Path, metavar="DIR", help="also write a derived series, for DICOM content"
    )
    group.add_argument(
        "--keep-patient",
        action="store_true",
        help="keep the patient and the study of the content in --dicom-out (default: no data of the patient)",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what can be refused before any work."""
    if args.keep_patient and not args.dicom_out:
        raise UsageError(f"{args.content}: --keep-patient is for --dicom-out DIR; leave it out or give both")
    if not args.dicom_out:
        return
    if not dicom.is_dicom(args.content):
        raise UsageError(f"{args.content}: is not DICOM, a series cannot be derived from it; leave --dicom-out out")
    for path in filter(None, (args.content, args.style, args.mask)):
        for place in (path, path.parent):
            if args.dicom_out.exists() and args.dicom_out.samefile(place):
                raise UsageError(f"{args.dicom_out}: holds an input of this command; choose another folder")
    dicom_out.check(args.dicom_out, options.may_replace(args))


def write(args: argparse.Namespace, data: np.ndarray, like: Volume, preset: str) -> None:
    """Write the series."""
    description = f"Brought to the look of a high-field scan by neural style transfer (RNST, {preset}). Research only."
    dicom_out.write(args.dicom_out, data, like, description, args.keep_patient, options.may_replace(args))
