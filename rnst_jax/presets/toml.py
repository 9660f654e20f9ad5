"""Settings written to and read from TOML."""

import dataclasses
import pathlib
import tomllib

import tomli_w

from rnst_jax import ranges
from rnst_jax.presets.config import Config, for_extractor, get, to_dict


def to_toml(config: Config) -> str:
    """The settings as TOML, readable by `load`."""
    return tomli_w.dumps(to_dict(config))


def load(path: str | pathlib.Path, extractor: str = "vgg16") -> Config:
    """Read settings from TOML.

    Settings that the file leaves out are those of its ``preset``, or of balanced, adapted by `for_extractor`.

    Raises:
        ValueError: not TOML, a value of the wrong type or range, or no such extractor.
        KeyError: an unknown setting.
    """
    with open(path, "rb") as stream:
        values = tomllib.load(stream)
    base = for_extractor(get(values.pop("preset", "balanced")), extractor)
    if unknown := sorted(set(values) - {field.name for field in dataclasses.fields(Config)}):
        raise KeyError(f"unknown setting {', '.join(unknown)}")
    for name, value in values.items():
        default = getattr(base, name)
        if isinstance(default, tuple) and isinstance(value, list):
            values[name] = tuple(value)
        elif isinstance(default, float) and type(value) is int:
            values[name] = float(value)
        elif type(value) is not type(default):
            raise ValueError(f"{name} must be {type(default).__name__}, not {value!r}")
    config = dataclasses.replace(base, **values)
    ranges.check(config)
    return config
