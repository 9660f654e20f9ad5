"""``rnst reconstruct`` of a folder and of a BIDS dataset."""

import json
import pathlib
import shutil

import nibabel as nib
import numpy as np
import pytest

from rnst_jax.cli.main import main
from rnst_jax.io import bids
from tests.scans import QUICK, make, read_json, save, volume, write_constant

FAST = ["--config", "short.toml", "-q"]


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """The current folder: a style, settings that are quick to compile, and a folder with three scans."""
    monkeypatch.chdir(tmp_path)
    make()
    pathlib.Path("short.toml").write_text(QUICK.replace("native = 1", "native = 0"))
    pathlib.Path("in").mkdir()
    for number in range(3):
        save(f"in/{number}.nii.gz", volume(number, 0.05, count=2)[0].astype(np.float32))
    return tmp_path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*") if path.is_file())


def test_a_folder_with_bad_files(scans, capsys):
    good = pathlib.Path("in/0.nii.gz").read_bytes()
    pathlib.Path("in/bad.nii.gz").write_bytes(good[:-40])
    pathlib.Path("in/empty.nii").touch()
    pathlib.Path("in/notes.txt").write_text("no scan")
    assert main(["reconstruct", "in", "out", "--style", "style.nii.gz", *FAST]) == 4
    printed = capsys.readouterr().out
    assert "3 of 5 scans reconstructed" in printed
    assert "bad.nii.gz: " in printed
    assert "empty.nii: " in printed
    assert names("out") == [f"{n}.{kind}" for n in range(3) for kind in ("json", "nii.gz")]
    # the same bytes as one scan by itself
    assert main(["reconstruct", "in/1.nii.gz", "alone.nii.gz", "--style", "style.nii.gz", *FAST]) == 0
    assert pathlib.Path("out/1.nii.gz").read_bytes() == pathlib.Path("alone.nii.gz").read_bytes()


def test_one_program_serves_scans_of_the_same_sizes(scans):
    # settings of its own, which no other test has compiled
    pathlib.Path("short.toml").write_text('preset = "fast"\ndepths = [3]\ndenoiser = "nlm"\n')
    assert main(["reconstruct", "in", "out", "--style", "style.nii.gz", *FAST]) == 0
    first, *others = (read_json(f"out/{n}.json")["CompileSeconds"] for n in range(3))
    assert max(others) < 0.5 * first


def test_json_and_dry_run(scans, capsys):
    (scans / "in" / "broken.nii").write_bytes(b"no")
    assert main(["reconstruct", "in", "out", "--style", "style.nii.gz", "--dry-run", "--json", *FAST]) == 4
    told = json.loads(capsys.readouterr().out)
    assert [result["Slices"] for result in told["Results"]] == [[0, 1]] * 3
    assert list(told["Failed"]) == ["broken.nii"]
    assert not pathlib.Path("out").exists()


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["in", "in"], 2, "is the folder of the scans"),
        (["in", "style.nii.gz"], 2, "cannot be made into a folder"),
        (["in", "out", "--trace", "t.npz"], 2, "--trace is for one scan"),
        (["in", "out", "--mask", "mask.nii.gz"], 2, "give a folder of masks"),
        (["in", "out", "--style", "none.nii.gz"], 3, "none.nii.gz"),
        (["nothing", "out"], 3, "no .nii or .nii.gz and no DICOM file in this folder"),
        (["twice", "out"], 2, "two scans would have this output"),
        (["pages", "out", "--report", "html"], 2, "the scan 'index' would have it too"),
        (["in", "out", "--style", "flat.nii.gz"], 3, "flat.nii.gz: all voxels are 3"),
        (["content.nii.gz", "out.nii.gz", "--suffix", "T1w"], 2, "--suffix chooses in a BIDS dataset"),
    ],
)
def test_what_is_refused(scans, capsys, argv, code, words):
    pathlib.Path("nothing").mkdir()
    pathlib.Path("twice").mkdir()
    for name in ("a.nii", "a.nii.gz"):
        shutil.copy("in/0.nii.gz", f"twice/{name}")
    pathlib.Path("pages").mkdir()
    shutil.copy("in/0.nii.gz", "pages/index.nii.gz")
    write_constant("flat.nii.gz")
    style = [] if "--style" in argv else ["--style", "style.nii.gz"]
    assert main(["reconstruct", *argv, *style, *FAST]) == code
    out, err = capsys.readouterr()
    assert words in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert not pathlib.Path("out").exists()


def test_nothing_is_overwritten(scans, capsys):
    pathlib.Path("out").mkdir()
    pathlib.Path("out/2.nii.gz").write_bytes(b"mine")
    argv = ["reconstruct", "in", "out", "--style", "style.nii.gz", *FAST]
    assert main(argv) == 2
    assert "out/2.nii.gz: exists" in capsys.readouterr().err
    assert names("out") == ["2.nii.gz"]
    assert main([*argv, "--force"]) == 0
    assert nib.load("out/2.nii.gz").shape == (48, 48, 2)


def dataset(*suffixes):
    """A BIDS dataset with two subjects, one of them with a session."""
    for place in ("raw/sub-01/anat/sub-01", "raw/sub-02/ses-a/anat/sub-02_ses-a_acq-low"):
        pathlib.Path(place).parent.mkdir(parents=True)
        for suffix in suffixes:
            shutil.copy("in/0.nii.gz", f"{place}_{suffix}.nii.gz")
    pathlib.Path("raw/dataset_description.json").write_text('{"Name": "Ours", "DatasetDOI": "doi:10.0/x"}')


def test_a_bids_dataset(scans, capsys):
    dataset("T1w", "T2w")
    argv = ["reconstruct", "raw", "raw/derivatives/rnst", "--style", "style.nii.gz", *FAST]
    assert main(argv) == 2
    assert "holds T1w, T2w, and a style has one contrast" in capsys.readouterr().err
    assert main([*argv, "--suffix", "FLAIR"]) == 3
    assert main([*argv, "--suffix", "T1w"]) == 0
    made = names("raw/derivatives/rnst")
    assert made == [
        "dataset_description.json",
        "sub-01/anat/sub-01_desc-rnst_T1w.json",
        "sub-01/anat/sub-01_desc-rnst_T1w.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-low_desc-rnst_T1w.json",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-low_desc-rnst_T1w.nii.gz",
    ]
    description = read_json("raw/derivatives/rnst/dataset_description.json")
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "rnst_jax"
    assert description["SourceDatasets"] == [{"URL": "doi:10.0/x"}]
    assert read_json(f"raw/derivatives/rnst/{made[1]}")["Sources"] == [
        "bids:raw:sub-01/anat/sub-01_T1w.nii.gz",
        "style.nii.gz",
    ]
    assert description["DatasetLinks"] == {"raw": "../.."}
    # the other contrast goes into the same derivative
    assert main([*argv, "--suffix", "T2w"]) == 0
    assert len(names("raw/derivatives/rnst")) == 9


def test_a_derivative_does_not_replace_another_dataset(scans, capsys):
    dataset("T1w")
    assert main(["reconstruct", "raw", "raw", "--style", "style.nii.gz", *FAST]) == 2
    pathlib.Path("other").mkdir()
    pathlib.Path("other/dataset_description.json").write_text('{"Name": "Other"}')
    assert main(["reconstruct", "raw", "other", "--style", "style.nii.gz", *FAST]) == 2
    assert "is of another dataset" in capsys.readouterr().err
    assert read_json("other/dataset_description.json") == {"Name": "Other"}
    pathlib.Path("raw/dataset_description.json").write_text("{")
    assert main(["reconstruct", "raw", "new", "--style", "style.nii.gz", *FAST]) == 3


def test_names_in_a_derivative():
    for name, expected in (
        ("sub-1_desc-clean_T1w.nii", "sub-1_desc-rnst_T1w.nii"),
        ("T2w.nii.gz", "desc-rnst_T2w.nii.gz"),
    ):
        assert bids.derived(pathlib.Path("a") / name) == pathlib.Path("a") / expected
