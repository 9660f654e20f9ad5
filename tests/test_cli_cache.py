"""--compilation-cache: what one run compiled the next one loads, and nobody else can put programs there."""

import os
import pathlib

import jax
import nibabel as nib
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from rnst_jax.cli.main import main
from tests import scans


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """Small scans in the current folder; JAX's own settings come back afterwards."""
    monkeypatch.chdir(tmp_path)
    scans.make()
    pathlib.Path("c.toml").write_text(scans.QUICK)
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def programs():
    return {path.name for path in pathlib.Path("deep/cache").iterdir() if path.name.endswith("-cache")}


def test_the_second_run_compiles_nothing(scan):
    argv = [*scans.ARGV, "--config", "c.toml", "--compilation-cache", "deep/cache", "-q", "--force"]
    images, found = [], []
    for _ in range(2):
        jax.clear_caches()
        assert main(argv) == 0
        images.append(np.asarray(nib.load("out.nii.gz").dataobj))
        found.append(programs())
    assert os.stat("deep/cache").st_mode & 0o777 == 0o700
    assert any("solve_batch" in name for name in found[0])
    assert found[1] == found[0]
    np.testing.assert_array_equal(*images)


def test_a_folder_that_others_may_write_to_is_refused(scan, capsys):
    os.makedirs("../open", exist_ok=True)
    os.chmod("../open", 0o777)
    scans.refused(capsys, [*scans.ARGV, "--compilation-cache", "../open"], 2, "open", "chmod 700")
    scans.refused(capsys, [*scans.ARGV, "--compilation-cache", "c.toml"], 2, "c.toml", "is not a folder")


def test_a_refused_run_makes_no_folder(scan, capsys):
    scans.refused(capsys, [*scans.ARGV, "--compilation-cache", "deep/cache", "--trace", "t.txt"], 2, "t.txt", ".npz")
    assert not pathlib.Path("deep").exists()


def test_a_dry_run_makes_no_folder(scan):
    assert main([*scans.ARGV, "--compilation-cache", "deep/cache", "--dry-run", "-q"]) == 0
    assert not os.path.exists("deep")
