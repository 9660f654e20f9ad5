"""Fixtures for all tests."""

import pathlib

import pytest


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real scans next to the checkout, which is no part of the repository."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "ulf").is_dir():
        pytest.skip(f"no real scans: {folder}/data/ulf does not exist (the data stay outside of the repository)")
    return folder
