"""DICOM in and out: geometry, values, what is refused, and that nothing of the patient gets through."""

import pathlib
import shutil
import sys

import numpy as np
import pydicom
import pytest

from rnst_jax.cli.main import main
from rnst_jax.io import dicom, volumes
from rnst_jax.io.errors import RefusedInput
from rnst_jax.io.planes import to_slices
from tests import dicom_files
from tests.dicom_files import DISTANCE, ORIGIN, SPACING
from tests.scans import QUICK, make, read_json, volume

STORED = np.random.default_rng(3).integers(0, 4000, (4, 24, 32), dtype=np.uint16)
SCALES = [(1, 0), (2, -5), (0.5, 10), (1.25, 3)]
EXPECTED = np.stack([image * float(slope) + offset for image, (slope, offset) in zip(STORED, SCALES, strict=True)], -1)


def test_a_series_in_any_order_of_files(tmp_path):
    folder = dicom_files.classic(tmp_path / "s", STORED, SCALES, order=[2, 0, 3, 1])
    (folder / "notes.txt").write_text("no image")
    found = volumes.read(folder)
    # the normal of these rows and columns points to the left of the patient: slices run from R to L
    np.testing.assert_allclose(found.data, EXPECTED.transpose(1, 0, 2), rtol=1e-6)
    lps = np.diag([-1.0, -1, 1, 1]) @ found.affine
    np.testing.assert_allclose(lps @ [0, 0, 0, 1], [*ORIGIN, 1])
    np.testing.assert_allclose(lps[:3, 0], [0, SPACING[1], 0])
    np.testing.assert_allclose(lps[:3, 1], [0, 0, -SPACING[0]])
    np.testing.assert_allclose(lps[:3, 2], dicom_files.position(1) - ORIGIN)
    slices = to_slices(found)
    assert slices.plane == "sagittal"
    assert slices.slice_mm == pytest.approx(DISTANCE)


def test_another_library_sees_the_same(tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK (extra 'register')")
    folder = dicom_files.classic(tmp_path / "s", STORED, SCALES)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    found = volumes.read(folder)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image).transpose(2, 1, 0), found.data, rtol=1e-4, atol=1)
    for index in ((0, 0, 0), (5, 7, 3)):
        expected = np.diag([-1, -1, 1]) @ image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((found.affine @ [*index, 1])[:3], expected, atol=1e-6)


def test_enhanced_multi_frame(tmp_path):
    classic = volumes.read(dicom_files.classic(tmp_path / "s", STORED, SCALES))
    path = dicom_files.enhanced(tmp_path / "e.dcm", STORED, SCALES, order=(3, 1, 0, 2))
    for place in (path, path.parent):
        found = volumes.read(place)
        np.testing.assert_array_equal(found.data, classic.data)
        np.testing.assert_array_equal(found.affine, classic.affine)


def set_element(name, value, only=None):
    def change(k, made):
        if only is None or k == only:
            setattr(made, name, value)

    return change


def remove_element(name):
    return lambda k, made: delattr(made, name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_element("ImagePositionPatient", [-30.0, -60, 90], 1), "not evenly spaced"),
        (set_element("ImagePositionPatient", list(dicom_files.position(0)), 1), "at one place"),
        (set_element("ImageOrientationPatient", [1.0, 0, 0, 0, 1, 0], 1), "different orientations"),
        (set_element("ImageOrientationPatient", [1.0, 0, 0, 1, 0, 0]), "perpendicular"),
        (set_element("PixelSpacing", [1.0, 1.0], 2), "different sizes or pixel spacings"),
        (set_element("PixelSpacing", [0.0, 1.0]), "lacks what places an image"),
        (set_element("PhotometricInterpretation", "RGB"), "MONOCHROME2 is needed"),
        (set_element("PhotometricInterpretation", "MONOCHROME1"), "MONOCHROME2 is needed"),
        (set_element("SeriesInstanceUID", "1.2.3", 3), "holds 2 series"),
        (set_element("NumberOfFrames", 2), "truncated|several frames without a place"),
        (set_element("NumberOfFrames", 2**31 - 1), "not accepted"),
        (set_element("Rows", 40000), "truncated"),
        (set_element("PixelData", b"12"), "cannot be decoded|truncated"),
        (remove_element("ImagePositionPatient"), "lacks what places an image"),
        (remove_element("Rows"), "lacks what places an image"),
        (remove_element("SeriesInstanceUID"), "has no SeriesInstanceUID"),
        (set_element("RescaleSlope", "1e39"), "lacks|NaN or infinite"),
    ],
)
def test_what_makes_no_volume_is_refused(tmp_path, change, words):
    folder = dicom_files.classic(tmp_path / "s", STORED, change=change)
    with pytest.raises(RefusedInput, match=words) as caught:
        volumes.read(folder)
    assert str(folder) in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_tilted_slices_and_single_ones(tmp_path):
    def tilt(k, made):
        made.ImagePositionPatient = list(dicom_files.position(k) + k * dicom_files.ROW)

    with pytest.raises(RefusedInput, match="tilted"):
        volumes.read(dicom_files.classic(tmp_path / "tilted", STORED, change=tilt))
    single = volumes.read(dicom_files.classic(tmp_path / "single", STORED[:1]))
    assert single.data.shape == (32, 24, 1)
    assert np.linalg.norm(single.affine[:3, 2]) == pytest.approx(DISTANCE)
    with pytest.raises(RefusedInput, match="without a SliceThickness"):
        volumes.read(dicom_files.classic(tmp_path / "flat", STORED[:1], change=set_element("SliceThickness", None)))


def test_a_dicomdir_and_a_deflated_file_are_not_opened(tmp_path):
    folder = dicom_files.classic(tmp_path / "s", STORED)
    whole = (folder / "series000").read_bytes()
    (folder / "DICOMDIR").write_bytes(whole)  # by its name it is none of the series
    assert len(dicom.files(folder)) == 4
    other = tmp_path / "other"
    for old, new, words in (
        (dicom_files.MR, "1.2.840.10008.1.3.10", "is a DICOMDIR"),
        ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "deflated"),
    ):
        dataset = pydicom.dcmread(folder / "series000")
        for element in dataset.file_meta:
            if element.value == old:
                element.value = new
        with other.open("wb") as stream:
            stream.write(b"\0" * 128 + b"DICM")
            pydicom.filewriter.write_file_meta_info(stream, dataset.file_meta)
        with pytest.raises(RefusedInput, match=words):
            volumes.read(other)


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """The current folder: a DICOM content ("SECRET" in each of its names), a NIfTI style, and quick settings."""
    monkeypatch.chdir(tmp_path)
    make()
    stored = volume(0, 0.05, count=3)[0].transpose(2, 1, 0).astype(np.uint16)
    dicom_files.classic("JANE-SECRET", stored, SCALES[:3], axes=dicom_files.AXIAL)
    pathlib.Path("short.toml").write_text(QUICK)
    return tmp_path


ARGV = ["reconstruct", "JANE-SECRET", "out.nii.gz", "--style", "style.nii.gz", "--config", "short.toml"]


def test_a_derived_series(scans, capsys):
    assert main([*ARGV, "--dicom-out", "derived", "--report", "r.html", "--trace", "t.npz"]) == 0
    given, made = volumes.read(pathlib.Path("JANE-SECRET")), volumes.read(pathlib.Path("derived"))
    result = volumes.read(pathlib.Path("out.nii.gz"))
    np.testing.assert_allclose(made.affine, given.affine, atol=1e-6)
    np.testing.assert_allclose(result.affine, given.affine, atol=1e-5)
    step = np.ptp(result.data) / (2**16 - 1)
    np.testing.assert_allclose(made.data, result.data, atol=step)
    source = pydicom.dcmread("JANE-SECRET/series000")
    images = [pydicom.dcmread(path) for path in sorted(pathlib.Path("derived").iterdir())]
    assert len({image.SOPInstanceUID for image in images}) == 3
    for image in images:
        assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert image.PatientIdentityRemoved == "YES"
        assert image.MagneticFieldStrength == 0.055
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert image[name].value != source[name].value
    told = capsys.readouterr()
    # the report's and the NIfTI file's bytes are compressed; read them as a user would
    outputs = [*pathlib.Path("derived").iterdir(), pathlib.Path("out.json"), pathlib.Path("r.html")]
    seen = b"".join(path.read_bytes() for path in outputs) + (told.out + told.err).encode()
    for word in (b"SECRET", b"DOE", b"4711", str(source.StudyInstanceUID).encode()):
        assert word not in seen
    assert read_json("out.json")["Inputs"]["content"]["File"] == "DICOM series"


def test_the_same_result_has_the_same_uids_and_the_patient_on_request(scans, capsys):
    argv = [*ARGV, "-q", "--dicom-out", "derived", "--force"]
    assert main(argv) == 0
    first = {path.name: path.read_bytes() for path in pathlib.Path("derived").iterdir()}
    assert main(argv) == 0
    assert {path.name: path.read_bytes() for path in pathlib.Path("derived").iterdir()} == first
    assert main([*argv, "--keep-patient"]) == 0
    image = pydicom.dcmread("derived/00001.dcm")
    source = pydicom.dcmread("JANE-SECRET/series000")
    assert image.PatientName == dicom_files.NAME
    assert image.StudyInstanceUID == source.StudyInstanceUID
    assert image.SeriesInstanceUID != source.SeriesInstanceUID
    assert len(image.SourceImageSequence) == 3
    assert "InstitutionName" not in image


def test_places_of_a_series_are_checked_before_the_work(scans, capsys):
    pathlib.Path("mine").mkdir()
    pathlib.Path("mine/letter.txt").write_text("keep me")
    for name, words in (
        ("mine", "holds other files"),
        ("none/derived", "does not exist"),
        ("out.json", "is no folder"),
    ):
        if name == "out.json":
            pathlib.Path(name).write_text("{}")
        assert main([*ARGV, "-q", "--force", "--dicom-out", name]) == 2
        assert words in capsys.readouterr().err
    # files of somebody else that are named as ours are, and the input itself
    pathlib.Path("mine/letter.txt").rename("mine/00001.dcm")
    pathlib.Path("JANE-SECRET/series000").rename("JANE-SECRET/00001.dcm")
    for name, words in (("mine", "holds other files"), ("JANE-SECRET", "holds an input")):
        assert main([*ARGV, "-q", "--force", "--dicom-out", name]) == 2
        assert words in capsys.readouterr().err
    shutil.copytree("JANE-SECRET", "theirs")
    for path in pathlib.Path("theirs").glob("series*"):
        path.unlink()
    assert main([*ARGV, "-q", "--force", "--dicom-out", "theirs"]) == 2
    assert pathlib.Path("mine/00001.dcm").read_text() == "keep me"
    assert pathlib.Path("theirs/00001.dcm").exists()
    argv = ["reconstruct", "content.nii.gz", "o.nii.gz", "--style", "style.nii.gz"]
    assert main([*argv, "--dicom-out", "derived"]) == 2
    assert "is not DICOM" in capsys.readouterr().err
    assert main([*argv, "--keep-patient"]) == 2
    assert main(["reconstruct", "JANE-SECRET/series001", "o.nii.gz", "--style", "none.nii"]) == 3


def test_style_mask_and_evaluate_take_dicom(scans, capsys):
    style = volume(1, 0.0)[0].transpose(2, 1, 0).astype(np.uint16)
    dicom_files.classic("style", style, axes=dicom_files.AXIAL)
    argv = ["reconstruct", "JANE-SECRET", "out.nii.gz", "--style", "style", "--config", "short.toml", "-q"]
    assert main(argv) == 0
    assert read_json("out.json")["Inputs"]["style"]["File"] == "DICOM series"
    assert main(["evaluate", "out.nii.gz", "--reference", "JANE-SECRET", "--json"]) == 0


def test_without_pydicom_the_message_says_so(scans, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert main(ARGV) == 2
    assert "pip install 'rnst-jax[dicom]'" in capsys.readouterr().err


def test_refusals_name_the_file_in_one_line(scans, capsys):
    path = pathlib.Path("JANE-SECRET/series001")
    path.write_bytes(path.read_bytes()[:300])
    assert main(ARGV) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert "series001" in err
    assert "Traceback" not in err
