"""Order statistics inside a mask against JAX's, which sort NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax.order import quantile

Q = np.array([0.0, 0.005, 0.3, 0.5, 0.995, 1.0], np.float32)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [7, 100, 1001])
def test_it_is_that_of_the_values_inside(size, share):
    rng = np.random.default_rng(size)
    x, inside = rng.standard_normal(size).astype(np.float32), rng.random(size) <= share
    inside[0] = True
    expected = jnp.nanquantile(jnp.where(inside, x, jnp.nan), Q)
    np.testing.assert_array_equal(jax.jit(quantile)(x, inside, Q), expected)
    np.testing.assert_allclose(expected, np.quantile(x[inside], Q), rtol=1e-5, atol=1e-6)


def test_nan_counts_inside_only():
    x = jnp.array([1.0, jnp.nan, 3.0])
    assert quantile(x, jnp.array([True, False, True]), 0.5) == 2
    assert jnp.isnan(quantile(x, jnp.array([True, True, True]), 0.5))
    assert jnp.isnan(quantile(x, jnp.zeros(3, bool), 0.5))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_has_quantiles_of_whole_images(dtype):
    x = jnp.linspace(0, 1, 256 * 256).astype(dtype)
    found = quantile(x, jnp.ones_like(x, bool), 0.25)
    assert found.dtype == dtype
    np.testing.assert_allclose(float(found), 0.25, atol=0.002)
