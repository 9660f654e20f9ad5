"""Reads the golden arrays."""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of a file in ``tests/golden``, see the script of the same name there."""
    with np.load(GOLDEN / name) as file:
        return {key: file[key] for key in file}
