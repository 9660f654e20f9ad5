"""Presets: named settings as plain data, written to and read from TOML, and built into solvers."""

from rnst_jax.presets.config import Config, for_extractor, get, names, to_dict
from rnst_jax.presets.solver import build
from rnst_jax.presets.toml import load, to_toml

__all__ = ["Config", "build", "for_extractor", "get", "load", "names", "to_dict", "to_toml"]
