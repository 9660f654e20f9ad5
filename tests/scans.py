"""Small scans on disk and bad ones, and what a refusal must look like: shared by the tests of the command line."""

import gzip
import json
import pathlib
import re

import nibabel as nib
import numpy as np

from rnst_jax.cli.main import main
from tests import phantoms

SIZE = 48
ARGV = ["reconstruct", "content.nii.gz", "out.nii.gz", "--style", "style.nii.gz"]
QUICK = """
preset = "fast"
depths = [2]
parametrisation = "pixels"
reduce = 1
style_taps = ["conv1_1"]
content_taps = ["conv1_1"]
quantile_count = 0
denoiser = "gaussian"
native = 1
"""
"""Settings that are compiled in half the time, for what does not depend on the solver."""


def volume(subject, noise, count=3, kind="T1w"):
    """Slices of a head as a file's voxels (i, j, k), and their masks."""
    images = [phantoms.head(SIZE, kind, subject) for _ in range(count)]
    data = np.stack([phantoms.noisy(image, noise, seed) for seed, (image, _) in enumerate(images)], -1)
    return 900 * np.abs(data), np.stack([mask for _, mask in images], -1)


def save(path, data, affine=None):
    affine = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -50], [0, 0, 6.0, 12], [0, 0, 0, 1]]) if affine is None else affine
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def make():
    """content.nii.gz, its mask.nii.gz and style.nii.gz in the current folder."""
    content, mask = volume(0, 0.05)
    save("content.nii.gz", content.astype(np.float32))
    save("style.nii.gz", volume(1, 0.0)[0].astype(np.float32))
    save("mask.nii.gz", mask.astype(np.uint8))


def read_json(name):
    return json.loads(pathlib.Path(name).read_text())


def files():
    return {path.name: path.read_bytes() for path in pathlib.Path().iterdir()}


def refused(capsys, argv, code, *words):
    """The command ends with this code and one line that holds these words, and changes no file."""
    before = files()
    capsys.readouterr()
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("rnst: ")
    for word in words:
        assert word in err
    assert files() == before


GOOD = np.random.default_rng(0).random((24, 24, 3), dtype=np.float32)


def write_missing(name):
    pass


def write_text(name):
    with open(name, "w") as stream:
        stream.write("not a scan\n" * 50)


def write_truncated(name):
    save(name, GOOD)
    with open(name, "rb") as stream:
        whole = stream.read()
    with open(name, "wb") as stream:
        stream.write(whole[: len(whole) // 2])


def write_series(name):
    save(name, np.stack([GOOD, GOOD], -1))


def write_complex(name):
    save(name, GOOD.astype(np.complex64))


def write_constant(name):
    save(name, np.full_like(GOOD, 3))


def write_nan(name):
    save(name, np.where(GOOD > 0.99, np.nan, GOOD))


def write_singular(name):
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0]
    image = nib.Nifti1Image(GOOD, np.eye(4))
    image.header.set_sform(affine, 1)
    raw = bytearray(image.to_bytes())
    raw[280:328] = affine[:3].astype("<f4").tobytes()
    with gzip.open(name, "wb") as stream:
        stream.write(raw)


BAD = {
    write_missing: ("no such file", "check the path"),
    write_text: ("not gzip-compressed", "give a NIfTI file"),
    write_truncated: ("truncated", "copy or download it again"),
    write_series: ("4-D", "split it"),
    write_complex: ("complex", "give the magnitude"),
    write_constant: ("all voxels are 3", "check the export"),
    write_nan: ("NaN", "replace them"),
    write_singular: ("singular", "set a valid sform"),
}


def page():
    """The text of the report page.html, and the data in it."""
    text = pathlib.Path("page.html").read_text()
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert data
    return text, json.loads(data[1])
