"""The estimate of memory, what is made of it, and what XLA says of the same program."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import api, memory

from .test_mask import head, rician

BALANCED = rnst.presets.get("balanced")


def test_chunks_are_few_and_equally_large_and_stay_within_their_budget():
    each = memory.per_image(BALANCED, 256, 256)
    for count in (1, 7, 19, 24, 180):
        size = memory.chunk(BALANCED, (count, 256, 256), limit=2**40)
        parts = -(-count // size)
        assert size * each <= 2**31
        assert parts == 1 or -(-count // (parts - 1)) * each > 2**31, "fewer parts would not fit"
        assert size == -(-count // parts)
    assert memory.chunk(BALANCED, (5, 64, 64), 3, limit=2**40) == 3
    assert memory.chunk(BALANCED, (2, 64, 64), 3, limit=2**40) == 2


def test_what_cannot_fit_is_refused_with_the_estimate():
    with pytest.raises(ValueError, match=r"8 images of 256 x 256 .* 0\.9 GiB, and the device has 0\.5 GiB; .* of 4"):
        memory.chunk(BALANCED, (8, 256, 256), 8, limit=2**29)
    with pytest.raises(ValueError, match="crop it"):
        memory.chunk(BALANCED, (1, 256, 256), limit=2**20)


def test_the_published_schedule_takes_more():
    assert memory.per_image(rnst.presets.get("upstream"), 64, 64) > 20 * memory.per_image(BALANCED, 64, 64)


def test_the_machine_has_memory():
    assert 2**28 < memory.available() < 2**50
    with jax.default_device(jax.devices()[0]):
        assert memory.available() == memory.available(jax.devices()[0])


def test_an_accelerator_gives_a_quarter_of_its_memory():
    gpu = types.SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 80 * 2**30})
    fits = 20 * 2**30 // memory.per_image(BALANCED, 256, 256)
    assert memory.chunk(BALANCED, (3 * fits, 256, 256), device=gpu) == fits
    small = types.SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 4 * 2**30})
    assert memory.chunk(BALANCED, (360, 256, 256), device=small) == memory.chunk(BALANCED, (360, 256, 256), limit=2**40)
    tiny = types.SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 2**30})
    assert memory.chunk(BALANCED, (360, 256, 256), device=tiny) == 4


PIXELS = {"parametrisation": "pixels", "optimiser": "torch-lbfgs", "depths": (30,), "history": 30}


@pytest.mark.parametrize(
    ("chunk", "changes"),
    [
        (4, {}),
        (1, {"reduce": 4}),
        (1, {"candidates": 2, "refine": 2, "reduce": 1}),
        (1, PIXELS | {"reduce": 1, "candidates": 3}),
    ],
)
def test_xla_takes_about_as_much_as_estimated(chunk, changes):
    image, outline = head(160, 144)
    images = np.stack([rician(image, 0.05, seed) for seed in range(4)])
    preset = dataclasses.replace(BALANCED, **({"native": 1, "depths": (2,), "denoiser": "gaussian"} | changes))
    found = api.prepare(images / images.max(), image[None], preset=preset, mask=np.stack([outline] * 4), chunk=chunk)
    compiled = api.compile_batch(found.batch, *found.shared, **found.sizes)
    taken = compiled.memory_analysis().temp_size_in_bytes
    estimate = chunk * memory.per_image(preset, 160, 144)
    assert 0.4 < taken / estimate < 1.6
    assert jnp.shape(found.batch.y) == (4, 160, 144)
