"""L-BFGS on several scales: its direction against dense matrices, and what it promises of every step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax.style import minimise, multiscale_lbfgs
from rnst_jax.style.curvature import direction, no_pairs

from .phantoms import head

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_direction_is_that_of_the_dense_matrix(count):
    """H_0 = scale M, then H <- (I - s y^T / y.s) H (I - y s^T / y.s) + s s^T / y.s, with the last three pairs."""
    n, history = 5, 3
    root = RNG.standard_normal((n, n))
    m, a = np.eye(n) + root @ root.T, np.diag(np.arange(1.0, n + 1))
    steps = RNG.standard_normal((count, n))
    g = RNG.standard_normal(n)
    last = steps[-1]
    h = (last @ a @ last) / (a @ last @ m @ a @ last) * m
    for s in steps[-history:]:
        y = a @ s
        left = np.eye(n) - np.outer(s, y) / (y @ s)
        h = left @ h @ left.T + np.outer(s, s) / (y @ s)
    with jax.enable_x64(True):
        pairs, always = no_pairs(history, jnp.zeros(n)), jnp.array(True)
        for s in steps:
            d, pairs = direction(pairs, jnp.asarray(g), jnp.asarray(s), jnp.asarray(a @ s), always, lambda v: m @ v)
    np.testing.assert_allclose(d, -h @ g, rtol=1e-9)
    assert pairs.count == count


def rough(x, style):
    """Kinks everywhere, badly scaled, and its minimum outside [0, 1] in places."""
    difference = x - 1.3 * style
    return jnp.abs(difference).mean() + 30 * jnp.abs(difference.mean()) + jnp.abs(jnp.diff(difference, axis=0)).mean()


@functools.cache
def images(channels):
    (x, _), (style, _) = head(32, "T1w", 0), head(32, "T2w", 1)
    return tuple(jnp.asarray(a if channels == 1 else np.stack([a, a**2, 0.5 * a], -1)) for a in (x, style))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_image_is_the_best_that_was_evaluated(channels):
    x, style = images(channels)
    best, losses = minimise(lambda x: rough(x, style), x, multiscale_lbfgs(evaluations=40), 40)
    assert rough(best, style) == pytest.approx(float(losses.min()), rel=1e-5)
    assert losses.min() < 0.5 * losses[0]
    assert best.min() >= 0
    assert best.max() <= 1


@pytest.mark.parametrize("first_step", [1e-4, 100.0])
def test_a_first_step_of_the_wrong_length_is_mended(first_step):
    style = images(1)[1]
    optimiser = multiscale_lbfgs(evaluations=40, first_step=first_step)
    _, losses = minimise(lambda x: jnp.mean((x - style) ** 2), 0 * style, optimiser, 40, project=lambda x: x)
    assert losses.min() < 1e-4 * losses[0]


def test_a_loss_in_other_units_gives_the_same_image():
    x, style = images(1)
    small, large = (
        minimise(lambda x, k=k: k * jnp.mean((x - style) ** 4), x, multiscale_lbfgs(evaluations=12), 12)[0]
        for k in (1.0, 4096.0)
    )
    np.testing.assert_allclose(large, small, atol=1e-3)


def test_lanes_are_images_alone():
    x, style = images(1)
    starts = jnp.stack([x, x**2, 0.3 + 0 * x])

    def run(start):
        return minimise(lambda x: jnp.mean((x - style) ** 2), start, multiscale_lbfgs(evaluations=8), 8)[0]

    np.testing.assert_allclose(jax.vmap(run)(starts), jnp.stack([run(start) for start in starts]), atol=1e-4)


def test_with_a_clip_it_is_descent_on_the_clipped_image():
    x = 0.05 + 0.9 * images(1)[0]  # off the bounds, where the gradient of a clip is one of two
    style = jnp.where(jnp.arange(32)[:, None] < 16, 2.0, 0.25) * jnp.ones_like(x)

    def f(x):
        return jnp.mean((x - style) ** 2)

    clipped, losses = minimise(f, x, multiscale_lbfgs(evaluations=12), 12)
    free, expected = minimise(
        lambda w: f(jnp.clip(w, 0, 1)), x, multiscale_lbfgs(evaluations=12), 12, project=lambda w: w
    )
    assert free.max() > 1.01
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(clipped, jnp.clip(free, 0, 1), atol=1e-3)


def test_nan_is_not_hidden():
    x, style = images(1)
    best, _ = minimise(lambda x: rough(x, style), x.at[3, 4].set(jnp.nan), multiscale_lbfgs(evaluations=5), 5)
    assert jnp.isnan(best).any()
