"""The style engine: losses on features and the inner optimisation."""

from rnst_jax.style.defaults import Defaults, defaults
from rnst_jax.style.endpoints import align_endpoints
from rnst_jax.style.engine import minimise
from rnst_jax.style.highlights import highlight_limit, hold_highlights, spread_highlights
from rnst_jax.style.lbfgs import torch_lbfgs
from rnst_jax.style.likeness import likeness, most_alike
from rnst_jax.style.loss_sum import LossSum, TermTargets, blend
from rnst_jax.style.losses import StyleLoss, Targets, gram, smooth_activations
from rnst_jax.style.multiscale import multiscale
from rnst_jax.style.multiscale_lbfgs import multiscale_lbfgs
from rnst_jax.style.optimisers import Adam, MultiscaleLbfgs, OptaxLbfgs, Optimiser, TorchLbfgs
from rnst_jax.style.parametrise import IntensityMap, Parametrisation, Pixels
from rnst_jax.style.terms import (
    Content,
    Gram,
    Intensities,
    Moments,
    SlicedWasserstein,
    Term,
    Variation,
)

__all__ = [
    "Adam",
    "Content",
    "Defaults",
    "Gram",
    "Intensities",
    "IntensityMap",
    "LossSum",
    "Moments",
    "MultiscaleLbfgs",
    "OptaxLbfgs",
    "Optimiser",
    "Parametrisation",
    "Pixels",
    "SlicedWasserstein",
    "StyleLoss",
    "Targets",
    "Term",
    "TermTargets",
    "TorchLbfgs",
    "Variation",
    "align_endpoints",
    "blend",
    "defaults",
    "gram",
    "highlight_limit",
    "hold_highlights",
    "likeness",
    "minimise",
    "most_alike",
    "multiscale",
    "multiscale_lbfgs",
    "smooth_activations",
    "spread_highlights",
    "torch_lbfgs",
]
