"""The style engine: losses on features and the inner optimisation."""

from rnst_jax.style.engine import minimise
from rnst_jax.style.lbfgs import torch_lbfgs
from rnst_jax.style.losses import StyleLoss, Targets, gram
from rnst_jax.style.multiscale import multiscale
from rnst_jax.style.optimisers import Adam, OptaxLbfgs, Optimiser, TorchLbfgs
from rnst_jax.style.parametrise import IntensityMap, Parametrisation, Pixels

__all__ = [
    "Adam",
    "IntensityMap",
    "OptaxLbfgs",
    "Optimiser",
    "Parametrisation",
    "Pixels",
    "StyleLoss",
    "Targets",
    "TorchLbfgs",
    "gram",
    "minimise",
    "multiscale",
    "torch_lbfgs",
]
