"""Denoising at the resolution of the measurement."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from rnst_jax.denoise import AtNativeResolution, Host, Identity, TotalVariation

from .phantoms import head

SHAPES = [(16, 17), (18, 21), (1, 6)]


def zero_filled(x, shape):
    """The image with zeros around its spectrum; a Nyquist coefficient is split between both signs."""
    for axis in (0, 1):
        x = scipy.signal.resample(x, shape[axis], axis=axis)
    return x


def image(shape):
    return 1 + 0.1 * np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize(
    ("shape", "factor"), [*((shape, 2) for shape in SHAPES), ((16, 17), 3), ((16, 17), 1), ((18, 21), 1.5)]
)
def test_band_limited_images_go_through(shape, factor):
    small = image([math.ceil(n / factor) for n in shape])
    x = jnp.asarray(zero_filled(small, shape), jnp.float32)
    seen = []
    out = jax.jit(AtNativeResolution(Host(lambda y, sigma: seen.append(y) or y), factor))(x, 0.1)
    np.testing.assert_allclose(out, x, atol=1e-5)
    np.testing.assert_allclose(seen[0], small, atol=1e-5)


def test_each_axis_has_its_own_factor():
    small = image((8, 17))
    x = jnp.asarray(zero_filled(small, (16, 17)), jnp.float32)
    seen = []
    out = jax.jit(AtNativeResolution(Host(lambda y, sigma: seen.append(y) or y), (2, 1)))(x, 0.1)
    np.testing.assert_allclose(seen[0], small, atol=1e-5)
    np.testing.assert_allclose(out, x, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_is_kept_and_details_go(shape):
    x = jnp.asarray(image(shape), jnp.float32)
    run = jax.jit(AtNativeResolution(Identity()))
    once = run(x, 0.1)
    np.testing.assert_allclose(np.mean(once), np.mean(x), atol=1e-5)
    assert np.var(once) < 0.7 * np.var(x)
    np.testing.assert_allclose(run(once, 0.1), once, atol=1e-5)


def test_it_lowers_noise_that_was_zero_filled():
    clean, sigma = head(128)[0], 0.1
    noise = sigma * np.random.default_rng(0).standard_normal(clean.shape)
    x, target = (jnp.asarray(zero_filled(i, (256, 256)), jnp.float32) for i in (clean + noise, clean))
    np.testing.assert_allclose(np.std(x - target), sigma, rtol=0.05)
    inner = TotalVariation()
    plain, native = (np.mean((jax.jit(d)(x, sigma) - target) ** 2) for d in (inner, AtNativeResolution(inner)))
    assert native < 0.75 * plain


@pytest.mark.parametrize("shape", [(16, 24), (15, 21)])
def test_apodisation_is_a_gaussian_blur(shape):
    x = jnp.asarray(zero_filled(image([-(-n // 2) for n in shape]), shape), jnp.float32)
    found = jax.jit(AtNativeResolution(Identity(), apodisation=1.5))(x, 0.1)
    np.testing.assert_allclose(found, scipy.ndimage.gaussian_filter(x, 1.5, mode="wrap", truncate=6), atol=2e-4)


def test_beyond_the_edge_anatomy_is_kept_and_noise_is_not():
    """k-space that ends smoothly: its last part is weak, and not nothing."""
    clean = head(128, texture=0.0)[0]
    noise = 0.01 * np.random.default_rng(0).standard_normal(clean.shape)
    x, target = (
        jnp.asarray(zero_filled(scipy.ndimage.gaussian_filter(i, 0.6, mode="wrap"), (192, 192)), jnp.float32)
        for i in (clean + noise, clean)
    )
    without, kept, all_of_it = (
        np.asarray(jax.jit(AtNativeResolution(Identity(), 2, beyond=beyond))(x, 0.01)) for beyond in (None, 4.0, 0.0)
    )
    np.testing.assert_allclose(all_of_it, jnp.maximum(x, 0), atol=1e-5)
    assert np.mean((kept - target) ** 2) < 0.8 * np.mean((without - target) ** 2)
    air = np.asarray(zero_filled(0.3 + noise, (192, 192)), np.float32)
    denoise = (jax.jit(AtNativeResolution(Identity(), 2, beyond=beyond)) for beyond in (None, 4.0, 0.0))
    without, kept, all_of_it = (np.asarray(d(air, 0.01)) for d in denoise)
    assert np.var(kept - without) < 0.02 * np.var(all_of_it - without)


def test_zeros_and_nan_have_nothing_beyond():
    run = jax.jit(AtNativeResolution(Identity(), beyond=4.0))
    assert (run(jnp.zeros((8, 8)), 0.1) == 0).all()
    assert jnp.isnan(run(jnp.ones((8, 8)).at[3, 3].set(jnp.nan), 0.1)).all()


def test_nothing_is_negative_and_dtypes_are_kept():
    x = jnp.asarray(head(32)[0] - 0.3, jnp.float16)
    out = jax.jit(AtNativeResolution(Identity()))(x, 0.1)
    assert out.dtype == jnp.float16
    assert np.min(out) == 0


def test_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="factor must be 1 or more, not 0"):
        AtNativeResolution(Identity(), 0)(jnp.ones((4, 4)), 0.1)
