import io
import json
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax
from rnst_jax.cli import doctor, options
from rnst_jax.cli import reconstruct as command
from rnst_jax.cli.main import main
from rnst_jax.cli.progress import Progress
from tests.scans import ARGV, BAD, files, make, refused, save, write_constant


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A folder with small scans, made the current one."""
    monkeypatch.chdir(tmp_path)
    make()
    return tmp_path


@pytest.mark.parametrize(
    ("writer", "role"),
    # A mask of ones is a mask.
    [(w, role) for w in BAD for role in ("content", "style", "mask") if (w, role) != (write_constant, "mask")],
)
@pytest.mark.parametrize("more", [[], ["--force"], ["--dry-run"], ["-v"]], ids="".join)
def test_bad_input_is_refused_in_one_line(scans, capsys, writer, role, more):
    writer("bad.nii.gz")
    names = {"content": "content.nii.gz", "style": "style.nii.gz", "mask": "mask.nii.gz", role: "bad.nii.gz"}
    argv = ["reconstruct", names["content"], "out.nii.gz", "--style", names["style"], "--mask", names["mask"], *more]
    refused(capsys, argv, 3, "refused: bad.nii.gz: ", *BAD[writer])


@pytest.mark.parametrize("writer", BAD, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("role", ["out", "reference"])
def test_evaluate_refuses_the_same(scans, capsys, writer, role):
    writer("bad.nii.gz")
    names = {"out": "content.nii.gz", "reference": "style.nii.gz", role: "bad.nii.gz"}
    refused(capsys, ["evaluate", names["out"], "--reference", names["reference"]], 3, "bad.nii.gz", *BAD[writer])


def test_outputs_that_must_not_be_written(scans, capsys):
    for name, extra in (("out.nii.gz", []), ("out.json", []), ("t.npz", ["--trace", "t.npz"])):
        open(name, "w").close()
        refused(capsys, [*ARGV, *extra], 2, f"{name}: exists", "--force")
        os.remove(name)
    for same in ("content.nii.gz", "style.nii.gz", "./content.nii.gz"):
        argv = ["reconstruct", "content.nii.gz", same, "--style", "style.nii.gz", "--force"]
        refused(capsys, argv, 2, "is an input", "choose another")
    refused(capsys, ["reconstruct", "content.nii.gz", "no/out.nii.gz", "--style", "style.nii.gz"], 2, "no/out", "mkdir")
    refused(capsys, ["reconstruct", "content.nii.gz", "out.png", "--style", "style.nii.gz"], 2, "out.png", ".nii.gz")
    refused(capsys, [*ARGV, "--trace", "t.txt"], 2, "t.txt", ".npz")


def test_other_bad_requests(scans, capsys):
    refused(capsys, [*ARGV, "--slices", "1:9"], 2, "content.nii.gz", "give 0:3")
    refused(capsys, [*ARGV, "--plane", "axial", "--mask", "style.nii.gz", "--device", "tpu"], 2, "tpu", "rnst doctor")
    refused(capsys, [*ARGV, "--config", "none.toml"], 3, "none.toml", "check the path")
    refused(capsys, [*ARGV, "--weights", "none.safetensors"], 3, "none.safetensors", "check the path")
    save("large.nii.gz", np.zeros((64, 64, 3), np.uint8) + 1)
    refused(capsys, [*ARGV, "--mask", "large.nii.gz"], 3, "large.nii.gz", "resample the mask")
    refused(capsys, ["evaluate", "content.nii.gz", "--reference", "large.nii.gz"], 3, "large.nii.gz")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["reconstruct"],
        ["reconstruct", "content.nii.gz", "out.nii.gz"],
        [*ARGV, "--plane", "slanted"],
        [*ARGV, "--slices", "3"],
        [*ARGV, "--slices", "-1:2"],
        [*ARGV, "--chunk", "0"],
        [*ARGV, "--preset", "fast", "--config", "a.toml"],
        [*ARGV, "-v", "-q"],
    ],
)
def test_wrong_usage(scans, capsys, argv):
    before = files()
    assert main(argv) == 2
    assert "usage: rnst" in capsys.readouterr().err
    assert files() == before


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rnst {rnst_jax.__version__}\n"
    for argv in (["--help"], ["reconstruct", "--help"], ["weights", "--help"]):
        assert main(argv) == 0
        assert "usage: rnst" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("first\nsecond"), 1, "error: first second"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), 1, "--chunk"),
        (ZeroDivisionError(), 1, "ZeroDivisionError"),
    ],
)
def test_failures_are_one_line(scans, capsys, monkeypatch, error, code, words):
    def fail(*args):
        raise error

    monkeypatch.setattr(command, "prepare", fail)
    refused(capsys, ARGV, code, words)
    if code == 1:
        assert main([*ARGV, "-v"]) == 1
        assert "Traceback" in capsys.readouterr().err


def test_refusals_do_not_wait_for_jax(scans):
    code = (
        "import sys; from rnst_jax.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if 'jax' in sys.modules else code)"
    )
    argv = [sys.executable, "-c", code, "reconstruct", "none.nii.gz", "out.nii.gz", "--style", "style.nii.gz"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr == "rnst: refused: none.nii.gz: no such file; check the path\n"


def test_progress_on_a_terminal_and_elsewhere():
    plain = io.StringIO()
    with Progress(20, stream=plain, seconds=0) as progress:
        progress(5, 2.0)
        progress(5, jnp.float32(1.0))  # type: ignore[arg-type]
    progress(5, 0.0)
    lines = plain.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("rnst: 10/20 evaluations, loss 1, about")

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with Progress(20, stream=terminal) as progress:
        for _ in range(4):
            progress(5, 2.0)
    assert "20/20" in terminal.getvalue()
    assert "loss 2" in terminal.getvalue()

    silent = io.StringIO()
    with Progress(20, quiet=True, stream=silent, seconds=0) as progress:
        progress(5, 2.0)
    assert silent.getvalue() == ""


def test_evaluate(scans, capsys):
    assert main(["evaluate", "content.nii.gz", "--reference", "content.nii.gz", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["Mean"]["head_ssim"] == pytest.approx(1, abs=1e-5)
    assert scores["Mean"]["head_hfen"] == pytest.approx(0, abs=1e-5)
    assert [row["slice"] for row in scores["Slices"]] == [0, 1, 2]
    assert main(["evaluate", "content.nii.gz", "--reference", "style.nii.gz", "--mask", "mask.nii.gz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["slice", "head_psnr", "head_ssim"]
    assert lines[-1].startswith(" mean")
    assert len(lines) == 5


def test_weights(capsys, tmp_path, monkeypatch):
    from rnst_jax.features import weights

    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")  # not what this machine's user fetched
    assert main(["weights", "list"]) == 0
    assert "vgg16: vgg16.safetensors" in capsys.readouterr().out
    assert main(["weights", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vgg16"] == ""
    assert main(["weights", "verify", "lenet"]) == 2
    assert "lenet" in capsys.readouterr().err
    (tmp_path / "MANIFEST.json").write_text((weights.folder() / "MANIFEST.json").read_text())
    (tmp_path / "vgg16.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(weights, "folder", lambda: tmp_path)
    assert main(["weights", "verify"]) == 1
    assert "sha256" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["checks"]["weights"]["ok"] is False


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("jaxlib", "devices ok", "weights ok", "files ok", "precision ok", "denoiser ok", "self-test ok"):
        assert word in out


def test_doctor_tells_a_device_whose_bm3d_differs(monkeypatch):
    accelerator = types.SimpleNamespace(platform="gpu")
    monkeypatch.setattr("jax.devices", lambda *_: [accelerator])
    monkeypatch.setattr(doctor, "_bm3d_difference", lambda device: 1e-4 if device is accelerator else 0.0)
    assert "1e-04" in doctor._denoiser()
    monkeypatch.setattr(doctor, "_bm3d_difference", lambda _: float("nan"))
    with pytest.raises(RuntimeError, match="another release of jax"):
        doctor._denoiser()


def test_a_cpu_s_bm3d_is_its_own():
    assert doctor._bm3d_difference(jax.devices()[0]) == 0


def test_json_holds_no_nan(capsys):
    options.print_json({"a": [float("inf"), 1.0], "b": {"c": float("nan")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0], "b": {"c": None}}


def test_a_reader_that_has_seen_enough():
    """As with ``rnst weights list | head``: no message, and no traceback when Python ends."""
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "rnst_jax.cli.main", "weights", "list"]
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(argv, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
