"""Feature extractors in Flax, and the weight files they read."""

from rnst_jax.features.catalogue import MODELS
from rnst_jax.features.extractor import Extractor, build, load
from rnst_jax.features.naming import canonical
from rnst_jax.features.weights import WeightsError

__all__ = ["MODELS", "Extractor", "WeightsError", "build", "canonical", "load"]
