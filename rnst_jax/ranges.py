"""Which values a setting may have, as data, and the check of a whole config."""

import dataclasses
import math
import typing
from typing import Any

LEAST: dict[str, float] = {
    "steps": 1,
    "alpha": 0,
    "beta": 0,
    "lam": 0,
    "caution": 0,
    "depths": 1,
    "candidates": 1,
    "completion": 0,
    "refine": 0,
    "knots": 2,
    "stiffness": 0,
    "style_weight": 0,
    "content_weight": 0,
    "smoothing": 0,
    "intensity_weight": 0,
    "quantile_count": 0,
    "factors": 1,
    "history": 1,
    "native": 0,
    "margin": 0,
    "highlights": 0,
    "endpoints": 0,
    "dark_tail": 0,
    "strictness": 0,
    "whitening": 0,
    "sharpening": 0,
    "apodisation": 0,
    "beyond": 0,
    "fine": 0,
    "sigma_factor": 0,
    "reduce": 1,
}
"""The smallest value of a number, or of every number in a list."""

MOST: dict[str, float] = {"fine": 1, "dark_tail": 1}
"""The largest value."""

POSITIVE = ("mu", "rim_gain", "brain_darkening", "temperature", "learning_rate")
"""Numbers that must be above 0."""

NONE_OR = {"native": 1, "completion": 2}
"""Numbers that are 0, or so much or more."""

FILLED = ("depths",)
"""Lists that must not be empty."""


def check(config: Any) -> None:
    """Check the settings of a config, a dataclass instance, for range, choice and the types of list elements.

    Choices are those of the field's ``Literal`` annotation, element types those of ``tuple[T, ...]``, ranges those of
    this module. Numbers must be finite and known: a config of tracers cannot be checked.

    Raises:
        ValueError: names the setting, what it must be and its value.

    Examples:
        >>> from rnst_jax import presets
        >>> check(dataclasses.replace(presets.get("fast"), mu=-1.0))
        Traceback (most recent call last):
        ValueError: mu must be above 0, not -1.0
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        kind, arguments = typing.get_origin(hints[name]), typing.get_args(hints[name])
        if kind is typing.Literal and value not in arguments:
            raise ValueError(f"{name} must be one of {', '.join(map(str, arguments))}, not {value!r}")
        if kind is tuple:
            if wrong := [item for item in value if type(item) is not arguments[0]]:
                raise ValueError(f"{name} must be a list of {arguments[0].__name__}, not of {wrong[0]!r}")
            if name in FILLED and not value:
                raise ValueError(f"{name} must not be empty")
        for number in value if kind is tuple else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{name} must be finite, not {number}")
            if name in LEAST and number < LEAST[name]:
                raise ValueError(f"{name} must be {LEAST[name]} or more, not {number}")
            if name in MOST and number > MOST[name]:
                raise ValueError(f"{name} must be {MOST[name]} or less, not {number}")
            if name in NONE_OR and 0 < number < NONE_OR[name]:
                raise ValueError(f"{name} must be 0, or {NONE_OR[name]} or more, not {number}")
            if name in POSITIVE and number <= 0:
                raise ValueError(f"{name} must be above 0, not {number}")
    agree(config)


def agree(config: Any) -> None:
    """Check the settings that limit each other.

    Raises:
        ValueError: says which do not go together.
    """
    if config.reduce > 1 and config.parametrisation == "pixels":
        raise ValueError("reduce works with the intensity map only: free pixels need the full image")
