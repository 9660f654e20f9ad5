"""Low-field to high-field MRI by regularization with neural style transfer (RNST).

The public names below are loaded when they are first used, so that the command line can refuse a bad file before JAX
has been imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rnst_jax.version import __version__

if TYPE_CHECKING:
    from rnst_jax import (
        denoise,
        features,
        metrics,
        parallel,
        physics,
        presets,
        priors,
        schedules,
        solvers,
        style,
        trust,
    )
    from rnst_jax.api import compile, planned_evaluations, reconstruct, solve
    from rnst_jax.types import Problem, Result, Status

_MODULES = (
    "denoise",
    "features",
    "metrics",
    "parallel",
    "physics",
    "presets",
    "priors",
    "schedules",
    "solvers",
    "style",
    "trust",
)
_NAMES = {
    **dict.fromkeys(("compile", "planned_evaluations", "reconstruct", "solve"), "rnst_jax.api"),
    **dict.fromkeys(("Problem", "Result", "Status"), "rnst_jax.types"),
}

__all__ = [
    "Problem",
    "Result",
    "Status",
    "__version__",
    "compile",
    "denoise",
    "features",
    "metrics",
    "parallel",
    "physics",
    "planned_evaluations",
    "presets",
    "priors",
    "reconstruct",
    "schedules",
    "solve",
    "solvers",
    "style",
    "trust",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"rnst_jax.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'rnst_jax' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
