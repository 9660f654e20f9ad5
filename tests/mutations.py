"""Damaged files of every kind that is read, and what must come of them: a result or one clear refusal."""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import nibabel as nib
import numpy as np
import safetensors.numpy

from rnst_jax.features import WeightsError, weights
from rnst_jax.io import kspace, volumes
from rnst_jax.io.errors import RefusedInput
from tests import dicom_files, kspace_files

SECONDS = 5.0
"""No input may take longer."""
INTERESTING = (0, 1, -1, 2**7, 2**15 - 1, 2**16 - 1, 2**31 - 1, -(2**31))


class Kind(NamedTuple):
    """How files of one kind are made and read."""

    name: str
    make: Callable[[pathlib.Path], object]
    read: Callable[[pathlib.Path], object]


def _nifti(path):
    data = np.random.default_rng(0).random((10, 8, 4), dtype=np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 5, 1])), path)


STORED = np.random.default_rng(1).integers(0, 4000, (3, 8, 10), dtype=np.uint16)


def _classic(path):
    folder = dicom_files.classic(path.with_suffix(".d"), STORED[:1])
    path.write_bytes((folder / "series000").read_bytes())


def _enhanced(path):
    dicom_files.enhanced(path, STORED, [(1, 0)] * 3, (2, 0, 1))


def _kspace():
    return kspace_files.transform(kspace_files.images())


def _weights(path):
    safetensors.numpy.save_file({"a.weight": np.ones((2, 3), np.float32), "a.bias": np.ones(2, np.float32)}, path)


def _read_weights(path):
    weights.names(path)
    return weights.read(path, {"a.weight": (2, 3), "a.bias": (2,)})


def _read_kspace(path):
    return kspace.read(path, None, None, False)


KINDS = {
    "nifti": Kind("a.nii", _nifti, volumes.read),
    "nifti_gz": Kind("a.nii.gz", _nifti, volumes.read),
    "dicom": Kind("a.dcm", _classic, volumes.read),
    "dicom_enhanced": Kind("a.dcm", _enhanced, volumes.read),
    "npz": Kind("a.npz", lambda path: np.savez_compressed(path, kspace=_kspace()[:, 0]), _read_kspace),
    "fastmri": Kind(
        "a.h5", lambda path: kspace_files.write_fastmri(path, _kspace(), kspace_files.header()), _read_kspace
    ),
    "ismrmrd": Kind("a.h5", lambda path: kspace_files.write_ismrmrd(path, _kspace()), _read_kspace),
    "safetensors": Kind("a.safetensors", _weights, _read_weights),
}


def base(kind: str, folder: pathlib.Path) -> bytes:
    """The bytes of a sound file, which is read."""
    path = folder / KINDS[kind].name
    KINDS[kind].make(path)
    KINDS[kind].read(path)
    return path.read_bytes()


def mutate(raw: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    """Apply changes, each (what, where as a share of the length, value)."""
    for what, share, value in changes:
        at = int(share * len(raw))
        if what == "set":
            raw = raw[:at] + bytes([value % 256]) + raw[at + 1 :]
        elif what == "flip":
            raw = raw[:at] + bytes(b ^ (1 << value % 8) for b in raw[at : at + 1]) + raw[at + 1 :]
        elif what == "cut":
            raw = raw[:at]
        elif what == "drop":
            raw = raw[:at] + raw[at + value % 64 :]
        elif what == "repeat":
            raw = raw[:at] + raw[max(0, at - value % 64) :]
        else:
            number = INTERESTING[value % len(INTERESTING)]
            size = 2 if value % 2 else 4
            raw = raw[:at] + (number % 2 ** (8 * size)).to_bytes(size, "little") + raw[at + size :]
    return raw


WHATS = ("set", "flip", "cut", "drop", "repeat", "number")


def random_changes(rng: np.random.Generator) -> list[tuple[str, float, int]]:
    """Some changes, most of them near the front, where headers are."""
    count = int(rng.integers(1, 6))
    return [
        (WHATS[rng.integers(len(WHATS))], float(rng.random() ** rng.integers(1, 4)), int(rng.integers(256)))
        for _ in range(count)
    ]


def attempt(kind: str, raw: bytes, folder: pathlib.Path) -> bool:
    """Read damaged bytes. Returns whether they were read.

    Raises:
        AssertionError: it took too long, or the refusal does not name the file in one line.
        Exception: whatever the reader let through.
    """
    path = folder / KINDS[kind].name
    path.write_bytes(raw)
    begun, refusal = time.monotonic(), None
    try:
        KINDS[kind].read(path)
    except (RefusedInput, WeightsError) as error:
        refusal = str(error)
    assert time.monotonic() - begun < SECONDS, "too slow"
    assert refusal is None or (str(path) in refusal and "\n" not in refusal), refusal
    return refusal is None
