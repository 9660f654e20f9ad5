"""Feature extractors in Flax, and the weight files they read."""

from rnst_jax.features.extractor import Extractor, load
from rnst_jax.features.weights import WeightsError

__all__ = ["Extractor", "WeightsError", "load"]
