import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from rnst_jax import simulate

KEY = jax.random.key(7)
TISSUE = jnp.linspace(0.0, 1.0, 40 * 50).reshape(40, 50)


def test_the_same_key_gives_the_same_scan():
    first, again = simulate.degrade(TISSUE, KEY), simulate.degrade(TISSUE, KEY)
    assert jnp.array_equal(first, again)
    assert not jnp.array_equal(first, simulate.degrade(TISSUE, jax.random.key(8)))


@pytest.mark.parametrize("shape", [(16, 16), (17, 40)])
def test_shape_range_and_type(shape):
    scan = simulate.degrade(jnp.zeros(shape), KEY)
    assert scan.shape == shape
    assert scan.dtype == jnp.float32
    assert float(scan.min()) >= 0


def test_noise_is_rician():
    size = (400, 500)
    sigma, error = 0.05, 4 / np.sqrt(size[0] * size[1])
    air = simulate.rician(jnp.zeros(size), KEY, sigma) / sigma
    assert float(air.mean()) == pytest.approx(np.sqrt(np.pi / 2), abs=error)
    assert float(jnp.square(air).mean()) == pytest.approx(2, abs=2 * error)
    bright = simulate.rician(jnp.ones(size), KEY, sigma)
    assert float(bright.std()) / sigma == pytest.approx(1, abs=0.01)
    # sqrt(pi / 2) sigma L_1/2(-1 / (2 sigma^2)), the Rician mean, to second order in sigma
    assert float(bright.mean()) == pytest.approx(1 + sigma**2 / 2, abs=error * sigma)


def test_noise_is_white():
    noise = np.asarray(simulate.rician(jnp.ones((256, 256)), KEY, 0.05))
    noise = noise - noise.mean()
    for shift in ((1, 0), (0, 1), (1, 1)):
        assert abs((noise * np.roll(noise, shift, (0, 1))).mean()) / noise.var() < 4 / 256


def test_without_noise_and_field_it_is_a_blur_of_the_curve():
    scan = simulate.degrade(TISSUE, KEY, saturation=0.5, bias=0.0, blur=1.5, noise=0.0)
    expected = ndimage.gaussian_filter(np.asarray(simulate.compress(TISSUE, 0.5)), 1.5, radius=8)
    np.testing.assert_allclose(scan, expected, atol=2e-6)


def test_contrast_stays_monotone_and_shrinks_among_bright_tissue():
    x = jnp.linspace(0, 1, 101)
    for saturation in (0.2, 1.0, 5.0):
        y = simulate.compress(x, saturation)
        assert bool(jnp.all(jnp.diff(y) > 0))
        assert [float(y[0]), float(y[-1])] == pytest.approx([0, 1])
        assert float(y[95] - y[70]) < 0.25
    assert jnp.allclose(simulate.compress(x, 1e6), x, atol=1e-5)


def test_the_receive_field_is_smooth_and_bounded():
    field = np.log(np.asarray(simulate.bias_field(KEY, (64, 48), 0.2)))
    assert np.abs(field).max() == pytest.approx(0.2, rel=1e-5)
    # a quadratic has no third difference
    assert np.abs(np.diff(field, 3, axis=0)).max() < 1e-5
    assert np.abs(np.diff(field, 3, axis=1)).max() < 1e-5


def test_numbers_do_not_recompile():
    numbers = {"saturation": 0.3, "bias": 0.3, "blur": 1.7, "noise": 0.02}
    simulate.degrade(TISSUE, KEY, **numbers)
    before = simulate.degrade._cache_size()
    simulate.degrade(TISSUE, jax.random.key(9), **{name: value / 2 for name, value in numbers.items()})
    assert simulate.degrade._cache_size() == before
