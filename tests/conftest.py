"""Fixtures for all tests."""

import importlib.metadata
import os
import pathlib
import shutil
import tempfile

import pytest

COMPILED = pytest.StashKey[str]()
LONG = ("upstream", "precision", "demo", "parallel", "bench", "trust", "cli_resume", "docs", "cli_kspace", "report")
"""Modules that take longest, in few tests."""


def pytest_configure(config):
    # Most of the suite's time is compilation. XLA optimises less (`XLA_FLAGS= make test` tests what users run), and
    # what one worker or command has compiled the others load, in this run only.
    quick = "--xla_backend_optimization_level=0"
    if importlib.metadata.version("jaxlib").startswith("0.10."):  # XLA ends at flags that it does not know
        quick += " --xla_cpu_use_fusion_emitters=false"
    os.environ.setdefault("XLA_FLAGS", quick)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[COMPILED] = tempfile.mkdtemp(prefix="rnst-jax-tests-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.stash[COMPILED]
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def pytest_unconfigure(config):
    if folder := config.stash.get(COMPILED, None):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items):
    # begun last, one of them would keep one worker busy while the other has nothing left to do
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real scans next to the checkout, which is no part of the repository."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "ulf").is_dir():
        pytest.skip(f"no real scans: {folder}/data/ulf does not exist (the data stay outside of the repository)")
    return folder
