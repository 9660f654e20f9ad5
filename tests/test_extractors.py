"""All nine extractors against torchvision's (golden digests), their options, and what is loaded of a file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from rnst_jax import features
from rnst_jax.features import MODELS, WeightsError, layers
from rnst_jax.style import StyleLoss

from .golden.random_networks import SIZES, digest, image, random_state
from .golden_files import golden

FILE = golden("extractor_taps.npz")
SMALL = {"vgg": "vgg16_bn", "resnet": "resnet18"}


def weights(name):
    return features.canonical(name, random_state(name, MODELS[name].state_dict_shapes()))


@functools.cache
def small(family):
    """The smallest network of a family that has batch norms."""
    return weights(SMALL[family])


@pytest.mark.parametrize("name", MODELS)
def test_taps_are_torchvisions(name):
    model, extractor = MODELS[name], features.build(name, weights(name))
    for size in SIZES:
        assert {key.split("/")[2] for key in FILE if key.startswith(f"{name}/{size}/")} == set(model.taps)
        found = extractor(jnp.asarray(image(size))[None], tuple(model.taps))
        for tap, value in found.items():
            expected = FILE[f"{name}/{size}/{tap}"]
            assert expected[2] > 0.1
            error = np.abs(digest(np.asarray(value[0])) - expected).max() / expected[2]
            assert error < 1e-4, (size, tap, error)
