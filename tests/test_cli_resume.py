"""``rnst reconstruct`` interrupted and resumed: nothing half written, and the same bytes as in one go."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rnst_jax.cli import interrupt
from rnst_jax.cli.main import main
from rnst_jax.io.checkpoint import Checkpoint
from tests.scans import QUICK, files, make, read_json, refused, save, volume

PARTS = pathlib.Path(".out.nii.gz.parts")
ARGV = ["reconstruct", "content.nii.gz", "out.nii.gz", "--style", "style.nii.gz", "--config", "short.toml"]
ARGV += ["--chunk", "1", "-q"]
KILLS = int(os.environ.get("RNST_TEST_KILLS", "2"))
"""More by hand: each costs some seconds."""


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """The current folder, with a scan of four slices and settings that are quick to compile."""
    monkeypatch.chdir(tmp_path)
    make()
    save("content.nii.gz", volume(0, 0.05, count=4)[0].astype(np.float32))
    pathlib.Path("short.toml").write_text(QUICK)
    return tmp_path


@pytest.fixture
def stopped(monkeypatch):
    """Run a command and have a signal come while its n-th part is solved."""

    def run(count=2, argv=ARGV, number=signal.SIGTERM):
        save = Checkpoint.save

        def interrupted(self, n, arrays):
            if n == count - 1:
                signal.raise_signal(number)
            save(self, n, arrays)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", interrupted)
            return main(argv)

    return run


def test_a_dry_run_tells_of_slices_in_the_way(scans, capsys, stopped):
    assert stopped() == 130
    before = plain_files(), sorted(pathlib.Path(".out.nii.gz.parts").iterdir())
    capsys.readouterr()
    assert main([*ARGV, "--dry-run"]) == 2
    assert "slices of an interrupted run" in capsys.readouterr().err
    assert main([*ARGV, "--dry-run", "--force"]) == 0
    assert (plain_files(), sorted(pathlib.Path(".out.nii.gz.parts").iterdir())) == before


def plain_files():
    return {path.name for path in pathlib.Path().iterdir() if path.is_file()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order_and_resume_goes_on(scans, capsys, stopped, number):
    assert main(ARGV) == 0
    whole = pathlib.Path("out.nii.gz").read_bytes()
    score = read_json("out.json")["Slices"]
    for name in ("out.nii.gz", "out.json"):
        os.remove(name)
    before = plain_files()
    assert stopped(number=number) == 130
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "rnst: interrupted; 2 of 4 slices are kept, give --resume to go on"
    assert plain_files() == before
    assert sorted(path.name for path in PARTS.iterdir()) == ["00000.npz", "00001.npz", "identity.json"]
    assert main([*ARGV, "--resume", "--trace", "t.npz"]) == 0
    assert pathlib.Path("out.nii.gz").read_bytes() == whole
    assert read_json("out.json")["Slices"] == score
    assert np.load("t.npz")["score"].shape[0] == 4
    assert not PARTS.exists()


def test_a_second_signal_ends_at_once():
    told, before = [], signal.getsignal(signal.SIGINT)
    with interrupt.deferred(lambda: told.append(1)) as came:
        assert not came()
        signal.raise_signal(signal.SIGINT)
        assert came()
        with pytest.raises(interrupt.Interrupted, match="twice"):
            signal.raise_signal(signal.SIGTERM)
    assert told == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_slices_of_an_interrupted_run_are_not_dropped_unasked(scans, capsys, stopped):
    assert stopped() == 130
    held = {path.name: path.read_bytes() for path in PARTS.iterdir()}
    assert main(ARGV) == 2
    assert "--resume to go on, or --force" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in PARTS.iterdir()} == held
    assert main([*ARGV, "--force"]) == 0
    assert not PARTS.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: save("content.nii.gz", volume(2, 0.05, count=4)[0].astype(np.float32)), "Inputs.content.SHA256"),
        (lambda: ["--seed", "5"], "Seed"),
        (lambda: pathlib.Path("short.toml").write_text(pathlib.Path("short.toml").read_text() + "mu = 0.5\n"), "mu"),
        (lambda: ["--slices", "0:3"], "Settings.Slices"),
    ],
    ids=["input", "seed", "config", "slices"],
)
def test_resume_refuses_what_has_changed(scans, capsys, stopped, change, words):
    assert stopped() == 130
    more = change()
    argv = [*ARGV, *(more if isinstance(more, list) else []), "--resume"]
    assert main(argv) == 3
    err = capsys.readouterr().err.splitlines()[-1]
    assert "slices made with other" in err
    assert words in err
    assert PARTS.is_dir()
    assert not pathlib.Path("out.nii.gz").exists()


def test_resume_of_nothing_of_all_and_of_something_else(scans, capsys):
    assert main([*ARGV, "--resume"]) == 0
    before = files()
    capsys.readouterr()
    # all is there: nothing is computed or written again
    assert main([*ARGV, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["Seed"] == 0
    assert files() == before
    refused(capsys, [*ARGV, "--resume", "--seed", "1"], 3, "out.json", "made with other Seed")
    refused(capsys, [*ARGV, "--resume", "--force"], 2, "give one of them")
    refused(capsys, [*ARGV, "--resume", "--trace", "t.npz"], 2, "t.npz", "is finished")
    os.remove("out.json")
    refused(capsys, [*ARGV, "--resume"], 2, "out.nii.gz: exists")


def test_a_damaged_part_is_refused(scans, capsys, stopped):
    assert stopped() == 130
    (PARTS / "00001.npz").write_bytes((PARTS / "00001.npz").read_bytes()[:-30])
    assert main([*ARGV, "--resume"]) == 3
    assert "00001.npz: damaged" in capsys.readouterr().err
    (PARTS / "identity.json").write_text("{")
    assert main([*ARGV, "--resume"]) == 3
    assert "identity.json: damaged" in capsys.readouterr().err


def test_a_folder_goes_on_where_it_was_interrupted(scans, capsys, stopped):
    pathlib.Path("in").mkdir()
    for number in range(3):
        save(f"in/{number}.nii.gz", volume(number, 0.05, count=2)[0].astype(np.float32))
    argv = ["reconstruct", "in", "out", *ARGV[3:]]
    assert stopped(1, argv) == 130
    assert sorted(path.name for path in pathlib.Path("out").iterdir()) == [".0.nii.gz.parts"]
    assert main([*argv, "--resume"]) == 0
    names = sorted(path.name for path in pathlib.Path("out").iterdir())
    assert names == [f"{n}.{kind}" for n in range(3) for kind in ("json", "nii.gz")]
    capsys.readouterr()
    assert main([*argv, "--resume", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["Results"]) == 3


def test_killed_at_random_moments(scans, capsys):
    """As a power cut would: whatever is there under its final name is whole, and resume ends with the same bytes."""
    assert main(ARGV) == 0
    whole = pathlib.Path("out.nii.gz").read_bytes()
    command = [sys.executable, "-m", "rnst_jax.cli.main", *ARGV, "--resume"]
    os.remove("out.nii.gz")
    os.remove("out.json")
    begun = time.monotonic()
    subprocess.run(command, check=True)
    usual = time.monotonic() - begun
    choose = random.Random(0)
    for _ in range(KILLS):
        for name in ("out.nii.gz", "out.json"):
            pathlib.Path(name).unlink(missing_ok=True)
        process = subprocess.Popen(command)
        time.sleep(choose.uniform(0.4, 1.0) * usual)
        process.kill()
        process.wait()
        if pathlib.Path("out.nii.gz").exists():
            assert pathlib.Path("out.nii.gz").read_bytes() == whole
        if pathlib.Path("out.json").exists():
            assert read_json("out.json")["SyntheticImage"] is True
            assert pathlib.Path("out.nii.gz").exists()
        assert main([*ARGV, "--resume"]) == 0
        assert pathlib.Path("out.nii.gz").read_bytes() == whole
        left = [path.name for path in pathlib.Path().iterdir() if path.name.startswith(".")]
        assert left == []


def test_a_full_disk(scans, capsys, tmp_path_factory):
    """Nothing is visible under its final name, and with space again the run goes on."""
    disk = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        argv = [ARGV[0], ARGV[1], f"{disk}/out.nii.gz", *ARGV[3:]]
        assert main(argv) == 1
        err = capsys.readouterr().err.splitlines()[-1]
        assert err.startswith("rnst: error: [Errno 28] No space left on device")
        assert "--resume" in err
        assert [path.name for path in disk.iterdir()] in ([], [".out.nii.gz.parts"])
        subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
        assert main([*argv, "--resume"]) == 0
        assert sorted(path.name for path in disk.iterdir()) == ["out.json", "out.nii.gz"]
    finally:
        subprocess.run(["umount", disk], check=True)
