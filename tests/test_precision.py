"""A network in bfloat16, the rest in float32: where the loss ends, and what becomes of the image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax.metrics import ssim
from rnst_jax.priors import Style
from rnst_jax.style import Adam, IntensityMap, Pixels, StyleLoss

from .phantoms import head, noisy


@pytest.mark.parametrize(("family", "rate"), [(IntensityMap(1.0), 0.05), (Pixels(), 0.005)], ids=["map", "pixels"])
def test_the_loss_ends_where_that_of_float32_ends(family, rate):
    content, style = jnp.asarray(head(32)[0]), jnp.asarray(head(32, subject=1)[0]) ** 0.7
    optimiser = Adam(rate, factors=(1, 2, 4, 8) if isinstance(family, Pixels) else ())
    losses, images = {}, {}
    network = rnst.features.load("vgg16")
    # images of both are judged by the same network
    judge = jax.jit(lambda image: StyleLoss()(network, image, StyleLoss().targets(network, content, style)))
    for dtype in (None, jnp.bfloat16):
        extractor, loss = rnst.features.load("vgg16", dtype=dtype), StyleLoss()
        prior = Style(extractor, loss, family, optimiser)
        run = jax.jit(lambda y, s, p=prior, e=extractor, f=loss: p.stylise(y, f.targets(e, y, s), 30)[0])
        images[dtype] = run(content, style)
        losses[dtype] = float(judge(images[dtype]))
    assert losses[None] < 0.9 * float(judge(content))
    assert losses[jnp.bfloat16] == pytest.approx(losses[None], rel=0.02)
    assert float(ssim(images[None], images[jnp.bfloat16])) > 0.995


def test_the_preset_gives_the_same_image():
    y = head(32)[0]
    config = dataclasses.replace(rnst.presets.get("fast"), denoiser="nlm")
    y, style = np.clip(noisy(y, 0.05), 0, 1)[None], head(32, subject=1)[0][None]
    full, half = (
        rnst.reconstruct(y, style, preset=config, extractor=rnst.features.load("vgg16", dtype=dtype))
        for dtype in (None, jnp.bfloat16)
    )
    assert float(ssim(full.image[0], half.image[0])) > 0.995
    assert np.abs(full.image - y).max() > 0.05
