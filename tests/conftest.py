"""Fixtures for all tests."""

import os
import pathlib
import shutil
import tempfile

import pytest

COMPILED = pytest.StashKey[str]()


def pytest_configure(config):
    # Most of the suite's time is XLA's: what one worker or command has compiled the others load, within this run only.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[COMPILED] = tempfile.mkdtemp(prefix="rnst-jax-tests-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.stash[COMPILED]
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


def pytest_unconfigure(config):
    if folder := config.stash.get(COMPILED, None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real scans next to the checkout, which is no part of the repository."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "ulf").is_dir():
        pytest.skip(f"no real scans: {folder}/data/ulf does not exist (the data stay outside of the repository)")
    return folder
