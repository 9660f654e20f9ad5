import argparse
import dataclasses
import importlib
import json
import os
import pathlib
import threading
import types

import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest
import safetensors.numpy

import rnst_jax
from rnst_jax.api import Parts
from rnst_jax.cli import settings as command
from rnst_jax.cli import solving
from rnst_jax.cli.main import main
from rnst_jax.io.errors import RefusedInput
from rnst_jax.presets import Config
from rnst_jax.types import Result, Status
from tests.scans import ARGV, SIZE, files, make, read_json, refused, save, volume


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with small scans, made the current one."""
    monkeypatch.chdir(tmp_path)
    make()
    return tmp_path


class FakeSolver:
    """Stands in for the API: returns the square root of y, and marks the lanes it is told to as failed."""

    def __init__(self, failed=(), values=None, planned=10):
        self.failed, self.values, self.planned, self.called = failed, values, planned, None

    def planned_evaluations(self, config):
        return self.planned

    def compile_parts(self, y, style, **options):
        self.called = options | {"y": y, "style": style}

        def run(number):
            lanes = jnp.arange(len(y))[number * options["chunk"] :][: options["chunk"]]
            for _ in lanes if options["progress"] else ():
                thread = threading.Thread(target=options["progress"], args=(5, 0.5))
                thread.start()
                thread.join()
            bad = jnp.isin(lanes, jnp.array(self.failed, int))
            part = jnp.asarray(y)[lanes]
            return Result(
                image=jnp.sqrt(part) if self.values is None else jnp.full_like(part, self.values),
                status=jnp.where(bad, int(Status.NONFINITE), int(Status.MAX_STEPS)),
                steps=lanes * 0 + 2,
                evaluations=lanes * 0 + 5,
                score=jnp.where(bad, jnp.nan, 0.25),
                trace={"score": jnp.ones((len(part), 2))},
            )

        return Parts(-(-len(y) // options["chunk"]), run)


@dataclasses.dataclass(frozen=True)
class NamedConfig(Config):
    """Settings that tell where they are from and do without what takes long."""

    name: str = ""
    extractor: str = ""
    style_taps: tuple[str, ...] = ()
    content_taps: tuple[str, ...] = ()
    masked: bool = False
    depths: tuple[int, ...] = (1,)
    reduce: int = 1
    native: float = 1.0
    whitening: float = 0.0


@pytest.fixture
def solver(monkeypatch):
    def install(**options):
        fake = FakeSolver(**options)
        presets = types.SimpleNamespace(
            get=lambda name: NamedConfig(name=name, crop=name == "fast"),
            for_extractor=lambda config, name: dataclasses.replace(config, extractor=name),
            load=lambda path, extractor: NamedConfig(name=path.read_text(), crop=False),
            to_dict=vars,
        )
        for name, module in (("api", fake), ("presets", presets)):
            monkeypatch.setattr(rnst_jax, name, module, raising=False)
        return fake

    return install


@pytest.mark.parametrize(
    ("platform", "gigabytes", "wanted", "expected"),
    [("cpu", 8, None, 2), ("gpu", 80, None, 16), ("gpu", 80, 5, 5), ("gpu", 1, None, 2)],
)
def test_scans_share_a_number_of_slices_at_a_time(monkeypatch, platform, gigabytes, wanted, expected):
    """Whatever their own number, so that they share a program; fewer where so many do not fit."""
    device = types.SimpleNamespace(platform=platform, memory_stats=lambda: {"bytes_limit": gigabytes * 2**30})
    monkeypatch.setattr(solving, "shape", lambda *_: (180, 340, 340))
    args = argparse.Namespace(chunk=wanted)
    assert solving.chunk(args, None, rnst_jax.presets.get("balanced"), device) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("planned", "within"), [(10, False), (20_000, True)])
def test_the_settings_alone_decide_how_progress_is_told(scans, solver, planned, within):
    """What calls back to Python rounds otherwise: no other option may change a bit of the result."""
    for name, options in {"a": [], "b": ["--quiet"], "c": ["--compilation-cache", "programs"]}.items():
        fake = solver(planned=planned)
        assert main(["reconstruct", "content.nii.gz", f"{name}.nii.gz", "--style", "style.nii.gz", *options]) == 0
        assert (fake.called["progress"] is not None) == within


def test_reconstruct_writes_volume_sidecar_and_trace(scans, capsys, solver):
    fake = solver()
    assert main([*ARGV, "--trace", "t.npz", "--seed", "7", "--mask", "mask.nii.gz"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("out.nii.gz: 3 slices")
    assert "compiled in" in captured.err
    given, out = nib.load("content.nii.gz"), nib.load("out.nii.gz")
    np.testing.assert_array_equal(out.affine, given.affine)
    assert out.shape == given.shape
    assert out.get_data_dtype() == np.float32
    record = read_json("out.json")
    low, high = record["Settings"]["Scaling"]["Low"], record["Settings"]["Scaling"]["High"]
    scaled = np.clip((given.get_fdata() - low) / (high - low), 0, 1)
    np.testing.assert_allclose(out.get_fdata(), np.sqrt(scaled) * (high - low) + low, rtol=1e-4, atol=1e-3)
    assert record["Evaluations"] == 15
    assert record["Seed"] == 7
    assert record["Config"]["name"] == "balanced"
    assert set(record["Inputs"]) == {"content", "style", "mask"}
    assert record["Slices"][2] == {
        "Slice": 2,
        "StyleSlice": 2,
        "Status": "max_steps",
        "Score": 0.25,
        "Steps": 2,
        "Evaluations": 5,
    }
    assert np.load("t.npz")["score"].shape == (3, 2)
    assert fake.called["y"].shape == fake.called["style"].shape == fake.called["mask"].shape == (3, SIZE, SIZE)
    assert {fake.called[name].dtype for name in ("y", "style", "mask", "style_mask")} == {np.dtype(np.float32)}
    assert sorted(os.listdir(".")) == sorted(
        ["content.nii.gz", "mask.nii.gz", "out.json", "out.nii.gz", "style.nii.gz", "t.npz"]
    )


def test_json_on_stdout_and_force(scans, capsys, solver):
    solver()
    for _ in range(2):
        assert main([*ARGV, "--json", "-q", "--force", "--preset", "fast"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["Output"] == "out.nii.gz"
        assert json.loads(out)["Settings"]["Preset"] == "fast"
        assert err == ""


def test_cropped_to_the_heads(scans, solver):
    fake = solver()
    save("content.nii.gz", np.pad(volume(0, 0.05)[0], ((40, 20), (30, 30), (0, 0))).astype(np.float32))
    assert main([*ARGV, "-q", "--preset", "fast"]) == 0
    assert fake.called["y"].shape[1:] == fake.called["mask"].shape[1:] == (64, 64)
    cropped = nib.load("out.nii.gz").get_fdata()
    assert main([*ARGV, "-q", "--force"]) == 0
    whole = nib.load("out.nii.gz").get_fdata()
    assert cropped.shape == whole.shape == (108, 108, 3)
    np.testing.assert_array_equal(cropped[46:82, 36:72], whole[46:82, 36:72])
    assert cropped[:10].max() == read_json("out.json")["Settings"]["Scaling"]["Low"]


def test_part_of_the_slices(scans, solver):
    solver()
    assert main([*ARGV, "-q"]) == 0
    assert main(["reconstruct", "content.nii.gz", "part.nii", "--style", "style.nii.gz", "--slices", "1:", "-q"]) == 0
    whole, part = nib.load("out.nii.gz"), nib.load("part.nii")
    np.testing.assert_array_equal(part.get_fdata(), whole.get_fdata()[..., 1:])
    np.testing.assert_allclose(part.affine[:3, 3], whole.affine[:3, 3] + [0, 0, 6], atol=1e-5)
    assert [row["Slice"] for row in read_json("part.json")["Slices"]] == [1, 2]


def test_dry_run_writes_nothing(scans, capsys, solver):
    solver()
    before = files()
    assert main([*ARGV, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["PlannedEvaluations"] == 30
    assert plan["Plane"] == "axial"
    assert main([*ARGV, "--dry-run"]) == 0
    assert "would reconstruct 3 axial slices" in capsys.readouterr().out
    assert files() == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('style_taps = ["conv9_9"]', "vgg16 has no tap 'conv9_9'; it has conv1_1, relu1_1"),
        ('parametrisation = "pixels"', "reduce works with the intensity map only"),
    ],
)
def test_a_dry_run_checks_the_settings(scans, capsys, settings, words):
    pathlib.Path("c.toml").write_text(settings)
    refused(capsys, [*ARGV, "--config", "c.toml", "--dry-run"], 3, "c.toml", words)


def test_a_dry_run_checks_the_weights(scans, capsys):
    refused(capsys, [*ARGV, "--weights", "content.nii.gz", "--dry-run"], 3, "content.nii.gz")


def test_a_seed_that_no_generator_takes(scans, capsys):
    for seed in ("-1", str(2**63)):
        assert main([*ARGV, "--seed", seed]) == 2
        assert f"'{seed}' is no number from 0 to 2^63 - 1" in capsys.readouterr().err


@pytest.mark.parametrize("anatomy", ["head", "brain"])
def test_what_both_scans_show_can_be_told(scans, capsys, solver, anatomy):
    solver()
    assert main([*ARGV, "--dry-run", "--json", "--anatomy", anatomy]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["StyleHasScalp"], plan["ContentIsStripped"]) == (anatomy == "head", anatomy == "brain")


def test_config_file(scans, capsys, solver, monkeypatch):
    solver()
    pathlib.Path("c.toml").write_text("mine")
    assert main([*ARGV, "--config", "c.toml"]) == 0
    assert read_json("out.json")["Config"]["name"] == "mine"

    def fail(path, extractor):
        raise ValueError("unknown setting 'mew'")

    monkeypatch.setattr(rnst_jax.presets, "load", fail)
    os.remove("out.nii.gz")
    os.remove("out.json")
    refused(capsys, [*ARGV, "--config", "c.toml"], 3, "c.toml", "unknown setting 'mew'", "compare it with a preset")


def test_the_extractor_brings_its_taps_unless_the_file_names_them(tmp_path):
    presets = importlib.import_module("rnst_jax.presets")
    args = argparse.Namespace(config=None, preset="fast", extractor="resnet50")
    expected = presets.for_extractor(presets.get("fast"), "resnet50")
    assert command.config(args)[0] == expected
    assert expected.content_taps == ("layer1",)
    args.config = tmp_path / "c.toml"
    args.config.write_text('preset = "fast"\ncontent_taps = ["layer2"]\n')
    assert command.config(args)[0] == dataclasses.replace(expected, content_taps=("layer2",))


def test_only_the_weights_that_the_taps_need_are_loaded(tmp_path):
    config = types.SimpleNamespace(style_taps=("conv1_1",), content_taps=("conv2_1",))
    args = argparse.Namespace(extractor="vgg16", weights=None)
    extractor, path = command.extractor(args, config), command.weights(args)
    assert list(extractor.params) == ["conv1_1", "conv1_2", "conv2_1"]
    tensors = safetensors.numpy.load_file(path)
    cut = {f"features.0.{part}": tensors[f"features.0.{part}"] for part in ("weight", "bias")}
    safetensors.numpy.save_file(cut, tmp_path / "cut.safetensors")
    with pytest.raises(RefusedInput, match=r"cut\.safetensors: these vgg16 weights end at conv1_1, .*; give other"):
        command.extractor(argparse.Namespace(extractor="vgg16", weights=tmp_path / "cut.safetensors"), config)


def test_the_extractors_are_those_of_the_catalogue():
    # the command line writes them out because the catalogue's room imports JAX
    assert tuple(importlib.import_module("rnst_jax.features").MODELS) == command.EXTRACTORS


def test_every_extractor_has_style_defaults():
    defaults = importlib.import_module("rnst_jax.style.defaults")
    assert list(command.EXTRACTORS) == list(defaults._DEFAULTS)


def test_some_slices_non_finite(scans, capsys, solver):
    solver(failed=(1,))
    assert main([*ARGV, "--json"]) == 4
    out, err = capsys.readouterr()
    assert "slice 1 became non-finite" in err
    record = json.loads(out)
    assert record["Slices"][1]["Status"] == "nonfinite"
    assert record["Slices"][1]["Score"] is None
    assert np.isfinite(nib.load("out.nii.gz").get_fdata()).all()


def test_all_slices_non_finite(scans, capsys, solver):
    solver(values=np.nan)
    assert main(ARGV) == 1
    assert "nothing is written" in capsys.readouterr().err
    assert not os.path.exists("out.nii.gz")
    assert not os.path.exists("out.json")


def test_full_disk_leaves_nothing(scans, capsys, solver, monkeypatch):
    solver()

    def fail(*args):
        raise OSError(28, "No space left on device")

    before = files()
    monkeypatch.setattr(os, "replace", fail)
    assert main([*ARGV, "-q"]) == 1
    assert "No space left on device; free some" in capsys.readouterr().err
    assert files() == before


def test_damaged_weights_of_the_user_are_refused(scans, capsys, solver):
    solver()
    pathlib.Path("w.safetensors").write_text("no weights")
    refused(capsys, [*ARGV, "--weights", "w.safetensors"], 3, "w.safetensors")


def test_reconstruct_for_real(tmp_path, monkeypatch, capsys):
    """The whole way, with the real solver, on a tiny scan."""
    api = pytest.importorskip("rnst_jax.api")
    presets = pytest.importorskip("rnst_jax.presets")
    assert set(command.PRESETS) <= set(presets.names())
    monkeypatch.chdir(tmp_path)
    content, _ = volume(0, 0.06, count=2)
    save("content.nii.gz", content[:, :40].astype(np.float32))
    save("style.nii.gz", volume(1, 0.0, count=2)[0].astype(np.float32))
    # not all of VGG, which takes long to compile; `make demo` runs that
    pathlib.Path("c.toml").write_text('preset = "fast"\nstyle_taps = ["conv1_2"]\ncontent_taps = ["conv1_2"]\n')
    assert main([*ARGV, "--config", "c.toml", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["Evaluations"] == 2 * api.planned_evaluations(presets.get("fast"))
    given, out = nib.load("content.nii.gz"), nib.load("out.nii.gz")
    assert out.shape == given.shape == (48, 40, 2)
    np.testing.assert_array_equal(out.affine, given.affine)
    assert np.isfinite(out.get_fdata()).all()
    assert np.ptp(out.get_fdata()) > 0
