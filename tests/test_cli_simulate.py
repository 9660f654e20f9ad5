"""``rnst simulate``: files in and out, determinism, and what it refuses."""

import json
import os

import nibabel as nib
import numpy as np
import pytest

from rnst_jax.cli import simulate as command
from rnst_jax.cli.main import main
from rnst_jax.physics import field, relaxation
from tests.phantoms import head
from tests.scans import BAD, files, make, read_json, refused, save

ARGV = ["simulate", "content.nii.gz", "out.nii.gz", "--field", "0.055"]


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with small scans, made the current one."""
    monkeypatch.chdir(tmp_path)
    make()
    return tmp_path


def run(*argv, name="out.nii.gz"):
    assert main(["simulate", "content.nii.gz", name, "-q", *map(str, argv)]) == 0
    return nib.load(name).get_fdata(dtype=np.float32)


def test_writes_volume_and_sidecar(scans, capsys):
    assert main([*ARGV, "--noise", "0.03", "--seed", "7", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    given, out = nib.load("content.nii.gz"), nib.load("out.nii.gz")
    np.testing.assert_array_equal(out.affine, given.affine)
    assert out.shape == given.shape
    assert out.get_data_dtype() == np.float32
    # the content's units: the brightest tissue stays as bright
    assert np.percentile(out.get_fdata(), 99) == pytest.approx(np.percentile(given.get_fdata(), 99), rel=0.15)
    stored = read_json("out.json")
    assert {key: record[key] for key in stored} == stored
    assert stored["Seed"] == 7
    assert stored["SyntheticImage"] is True
    settings = stored["Settings"]
    assert (settings["FieldTesla"], settings["FromFieldTesla"], settings["Noise"]) == (0.055, 3.0, 0.03)
    assert settings["Sequence"] == {"Name": "SpoiledGradientEcho", "tr": 0.022, "te": 0.009, "flip": 30.0}
    assert settings["KSpaceShare"] == [1.0, 1.0]
    assert len(settings["TissueIntensities"]) == 3
    assert stored["Inputs"]["content"]["File"] == "content.nii.gz"
    assert sorted(os.listdir()) == ["content.nii.gz", "mask.nii.gz", "out.json", "out.nii.gz", "style.nii.gz"]


def test_the_seed_decides(scans):
    argv = ("--field", 0.3, "--emi", 0.2, "--coils", 2, "--contrast", "T2w")
    first, again, other = (run(*argv, "--seed", seed, name=f"{i}.nii.gz") for i, seed in enumerate((1, 1, 2)))
    assert (scans / "0.nii.gz").read_bytes() == (scans / "1.nii.gz").read_bytes()
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[..., 0] - first[..., 0].mean(), first[..., 1] - first[..., 1].mean(), atol=20)


def test_nothing_asked_nothing_changed(scans):
    out = run("--field", 3, "--noise", 0)
    given = nib.load("content.nii.gz").get_fdata()
    np.testing.assert_allclose(out, given, atol=2e-3 * given.max())


def test_noise_from_snr(scans):
    plain = run("--field", 0.75, "--snr", 80, "--averages", 4, "--resolution", 4)
    # (1 / 4)^1.5, four times the voxel, twice for the averages: as much as before
    settings = read_json("out.json")["Settings"]
    assert settings["Noise"] == pytest.approx(1 / 80, rel=1e-5)
    assert settings["AcquiredPixelMm"] == pytest.approx([4, 4])
    assert np.isfinite(plain).all()


def test_matrix_is_rows_by_columns_of_the_slice(scans):
    save("content.nii.gz", np.pad(nib.load("content.nii.gz").get_fdata(), ((0, 0), (8, 8), (0, 0))))
    out = run("--field", 3, "--noise", 0, "--matrix", "32x24")
    # voxel axes i, j are columns and rows of an axial slice
    k = np.abs(np.fft.fft2(out[..., 0] - out[..., 0].mean()))
    assert k[14:-13, :].max() < 0.05 * k.max()
    assert k[:, 18:-17].max() < 0.05 * k.max()
    assert k[:, 13:15].max() > 10 * k[:, 20:22].max()
    assert read_json("out.json")["Settings"]["KSpaceShare"] == pytest.approx([32 / 64, 24 / 48])


def maps_of_the_phantom():
    image, _ = head(48, texture=0.0, bias=0.0)
    stack = np.repeat(image[..., None], 3, axis=-1)
    grey, white = (np.exp(-(((stack - level / 1.1) / 0.06) ** 2)).astype(np.float32) for level in (0.55, 0.80))
    save("content.nii.gz", 500 * stack)
    save("grey.nii.gz", grey)
    save("white.nii.gz", white)
    return stack, grey, white


def test_tissue_maps(scans):
    stack, grey, white = maps_of_the_phantom()
    argv = ("--field", 0.055, "--noise", 0, "--grey", "grey.nii.gz", "--white", "white.nii.gz")
    out = run(*argv)
    assert set(read_json("out.json")["Inputs"]) == {"content", "grey", "white"}
    assert read_json("out.json")["Settings"]["TissueMaps"] == ["grey", "white"]
    gains = [
        float(np.divide(*(field.CONTRASTS["T1w"].signal(relaxation.relaxation(t, b)) for b in (0.055, 3.0))))
        for t in ("grey", "white")
    ]
    for part, gain in ((grey, gains[0] / gains[1]), (white, 1.0)):
        pure = part > 0.99
        assert pure.sum() > 30
        assert np.median(out[pure] / (500 * stack[pure])) == pytest.approx(gain, rel=0.02)
    rest = run(*argv, "--csf", "rest", name="rest.nii.gz")
    assert read_json("rest.json")["Settings"]["TissueMaps"] == ["grey", "white", "csf"]
    fluid = (grey + white < 0.01) & (stack > 0.1) & (stack < 0.3)
    assert np.median(rest[fluid] / out[fluid]) < 0.6  # CSF is darker at low field, bone of no map keeps its brightness


def test_negative_voxels_are_told(scans, capsys):
    data = nib.load("content.nii.gz").get_fdata()
    data[0, 0, 0] = -3
    save("content.nii.gz", data)
    assert main([*ARGV, "--noise", "0"]) == 0
    assert "1 voxels below 0 count as 0" in capsys.readouterr().err
    assert read_json("out.json")["Warnings"]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("--field", "0.01"), ("field must be from 0.05 to 3 T, not 0.01", "give another --field")),
        (("--field", "7"), ("field must be from 0.05 to 3 T, not 7",)),
        (("--from-field", "4"), ("from 0.05 to 3 T, not 4",)),
        (("--resolution", "1"), ("content.nii.gz has pixels of 2 x 2 mm", "give no less")),
        (("--matrix", "64"), ("axial slices of 48 x 48 only", "give no more")),
        (("--csf", "rest"), ("there are no other maps",)),
    ],
)
def test_wrong_usage(scans, capsys, extra, words):
    refused(capsys, [*ARGV, *extra], 2, *words)


@pytest.mark.parametrize(
    "extra",
    [
        ("--noise", "-1"),
        ("--noise", "nan"),
        ("--snr", "0"),
        ("--noise", "0.1", "--snr", "5"),
        ("--taper", "2"),
        ("--coils", "0"),
        ("--matrix", "3x4x5"),
        ("--contrast", "FLAIR"),
        ("--matrix", "8", "--resolution", "4"),
    ],
)
def test_the_parser_refuses(scans, capsys, extra):
    before = files()
    assert main([*ARGV, *extra]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert files() == before


@pytest.mark.parametrize("write", BAD, ids=lambda write: write.__name__.removeprefix("write_"))
def test_bad_input_is_refused(tmp_path, monkeypatch, capsys, write):
    monkeypatch.chdir(tmp_path)
    write("content.nii.gz")
    refused(capsys, ARGV, 3, "content.nii.gz", *BAD[write])


def test_bad_maps_are_refused(scans, capsys):
    content = nib.load("content.nii.gz").get_fdata()
    save("bytes.nii.gz", 255 * (content > 100).astype(np.float32))
    refused(capsys, [*ARGV, "--grey", "bytes.nii.gz"], 3, "bytes.nii.gz: holds values from 0 to 255", "scale it")
    save("small.nii.gz", np.zeros((4, 4, 3), np.float32))
    refused(capsys, [*ARGV, "--white", "small.nii.gz"], 3, "small.nii.gz", "resample the map")
    save("content.nii.gz", -1 - content)
    refused(capsys, ARGV, 3, "content.nii.gz: its brightest voxels are not above 0")


def test_nothing_is_overwritten(scans, capsys):
    assert main([*ARGV, "-q"]) == 0
    refused(capsys, ARGV, 2, "out.nii.gz: exists", "--force")
    os.remove("out.nii.gz")
    refused(capsys, ARGV, 2, "out.json: exists", "--force")
    assert main([*ARGV, "-q", "--force"]) == 0
    refused(capsys, ["simulate", "content.nii.gz", "content.nii.gz", "--field", "1", "--force"], 2, "is an input")


def test_a_full_disk_leaves_nothing(scans, capsys, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    before = files()
    monkeypatch.setattr(os, "replace", fail)
    assert main([*ARGV, "-q"]) == 1
    assert "No space left on device; free some" in capsys.readouterr().err
    assert files() == before


def test_the_names_are_those_of_the_field_model():
    # the command line writes them out because the physics' room imports JAX
    assert tuple(field.CONTRASTS) == command.CONTRASTS
    assert relaxation.TISSUES == command.TISSUES
