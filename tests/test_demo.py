import functools
import json
import sys

import numpy as np
import pytest

from rnst_jax import api
from rnst_jax.cli import demo
from rnst_jax.cli.main import main
from rnst_jax.io import nifti

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def compile_once():
    """`rnst_jax.api.compile` that compiles for its first arguments only, and refuses others."""
    original, kept = api.compile, {}

    @functools.wraps(original)
    def compile(y, style, **options):
        if not kept:
            kept.update(y=y, style=style, run=original(y, style, **options))
        np.testing.assert_array_equal(y, kept["y"])
        np.testing.assert_array_equal(style, kept["style"])
        return kept["run"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "compile", compile)
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory, compile_once):
    """The folder of a run with the fast preset, new and inside a new one."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "out"
    assert main(["demo", str(folder), "--preset", "fast", "-q"]) == 0
    return folder


def scores(folder):
    images = {name: demo.slice_of(folder / f"{name}.nii.gz") for name in ("reference", "input", "output")}
    mask = demo.head_mask(images["reference"])
    return {name: demo.score(images["reference"], images[name], mask) for name in ("input", "output")}


def test_everything_is_written(first):
    assert sorted(path.name for path in first.iterdir()) == sorted(demo._FILES)
    assert (first / "demo.png").read_bytes().startswith(PNG)
    record = json.loads((first / "output.json").read_text())
    assert record["Sources"] == ["input.nii.gz", "style.nii.gz"], "the reference is no source"


def test_geometry_is_the_templates(first):
    reference = nifti.read(first / "reference.nii.gz")
    for name in ("input", "output"):
        assert nifti.same_grid(nifti.read(first / f"{name}.nii.gz"), reference)
    index = np.array([0, 0, 0, 1])
    assert (reference.affine @ index)[2] == 10
    assert (nifti.read(first / "style.nii.gz").affine @ index)[2] == 26


def test_the_output_is_better_than_the_input(first):
    found = scores(first)
    for name in ("head_psnr", "head_ssim", "minmax_psnr", "minmax_ssim"):
        assert found["output"][name] > found["input"][name], found


def test_the_same_seed_gives_the_same_bytes_and_force_replaces(first, tmp_path, capsys):
    for name in demo._FILES:
        (tmp_path / name).write_text("old")
    assert main(["demo", str(tmp_path), "--preset", "fast", "--force"]) == 0
    out, err = capsys.readouterr()
    assert json.loads((tmp_path / "output.json").read_text())["Seed"] == 0
    for name in demo._FILES:
        if name != "output.json":  # it holds the time taken
            assert (tmp_path / name).read_bytes() == (first / name).read_bytes(), name
    assert "preset fast: " in out
    assert demo.table(scores(first)) in out
    assert "runs: rnst reconstruct" in err
    truth = demo.template(10.0).data
    assert not np.array_equal(demo.low_field(truth, 0), demo.low_field(truth, 1))


@pytest.mark.parametrize("name", demo._FILES)
def test_existing_files_are_refused(tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    assert main(["demo", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"rnst: usage: {tmp_path / name}: exists")
    assert "--force" in err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("package", ["nilearn", "matplotlib"])
def test_missing_packages_are_named(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"rnst: usage: the demo needs {package}; install with: pip install 'rnst-jax[demo]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_file_as_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
