"""The terms of style losses against NumPy, and their sum in the place of a `StyleLoss`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from rnst_jax.physics import Identity
from rnst_jax.priors import Style
from rnst_jax.style import (
    Adam,
    Content,
    Gram,
    Intensities,
    IntensityMap,
    LossSum,
    Moments,
    SlicedWasserstein,
    StyleLoss,
    Variation,
    blend,
    gram,
)
from rnst_jax.style.statistics import mean_and_deviation, projections, sorted_projections, variation
from rnst_jax.types import Problem

from .tables import SHALLOW, shallow

RNG = np.random.default_rng(0)
TAPS = ("conv1_1", "conv1_2")
X, Y, S = (jnp.asarray(RNG.random((16, 18)), jnp.float32) for _ in range(3))
MASK = jnp.zeros((16, 18)).at[3:13, 4:14].set(1.0)
EVERYTHING = (Gram(TAPS), Moments(TAPS), SlicedWasserstein(TAPS), Intensities(8), Content(TAPS[1:]), Variation())
FEATURES = RNG.standard_normal((6, 5, 3)).astype(np.float32)
PART = np.zeros((6, 5), np.float32)
PART[1:5, 2:4] = 1


def features(image, tap):
    return shallow()(image[None, ..., None], (tap,))[tap][0]


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_gram_content_and_intensities_are_the_style_loss(distance):
    plain = StyleLoss(30.0, 2.0, 0.01, 5.0, distance=distance, quantile_count=8, **SHALLOW)
    terms = (Gram(TAPS), Content(TAPS[1:]), Intensities(8))
    summed = LossSum(terms, (30.0, 2.0, 5.0), 0.01, distance)
    found, expected = (loss(shallow(), X, loss.targets(shallow(), Y, S)) for loss in (summed, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_moments():
    flat = FEATURES[PART > 0].astype(np.float64)
    mean, deviation = mean_and_deviation(FEATURES, PART)
    np.testing.assert_allclose(mean, flat.mean(0), atol=1e-6)
    np.testing.assert_allclose(deviation, flat.std(0), atol=1e-6)
    np.testing.assert_allclose(mean_and_deviation(FEATURES)[1], FEATURES.reshape(-1, 3).std(0), rtol=1e-5)


def test_sliced_wasserstein_is_scipys_along_each_vector():
    # two clouds of the same size, all of their points as quantiles
    a, b = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)
    vectors = projections(3, 16, seed=3)
    np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=0), 1, rtol=1e-6)
    assert not np.array_equal(vectors, projections(3, 16, seed=4))
    found = jnp.abs(sorted_projections(a, None, vectors, 4096) - sorted_projections(b, None, vectors, 4096)).mean()
    lines = [scipy.stats.wasserstein_distance((a @ v).ravel(), (b @ v).ravel()) for v in np.asarray(vectors).T]
    np.testing.assert_allclose(found, np.mean(lines), rtol=0.03)


def test_sliced_wasserstein_sees_the_mask_only():
    vectors = projections(3, 4, seed=0)
    cropped = sorted_projections(FEATURES[1:5, 2:4], None, vectors, 5)
    np.testing.assert_allclose(sorted_projections(FEATURES, PART, vectors, 5), cropped, atol=1e-6)


def test_variation():
    image = RNG.random((5, 6)).astype(np.float32)
    rows = np.diff(image, axis=0, append=image[-1:])
    cols = np.diff(image, axis=1, append=image[:, -1:])
    length = np.hypot(rows, cols)
    np.testing.assert_allclose(variation(image), length.mean(), rtol=1e-5)
    mask = np.zeros((5, 6), np.float32)
    mask[1:4, 1:4] = 1
    np.testing.assert_allclose(variation(image, mask), length[1:4, 1:4].mean(), rtol=1e-5)
    assert np.isfinite(jax.grad(variation)(jnp.zeros((4, 4)))).all()


def test_masked_content_sees_the_mask_only():
    loss = LossSum((Content(TAPS[:1]),), (1.0,), 0.0)
    targets = loss.targets(shallow(), Y, S, MASK, None)
    far = X.at[0, 0].set(1 - X[0, 0])
    assert loss(shallow(), X, targets) == pytest.approx(float(loss(shallow(), far, targets)), rel=1e-5)
    inside = np.abs(features(X, "conv1_1") - features(Y, "conv1_1"))[np.asarray(MASK) > 0].mean()
    np.testing.assert_allclose(loss(shallow(), X, targets), inside, rtol=1e-5)


@pytest.mark.parametrize("term", [Gram, Moments, SlicedWasserstein, Content])
def test_weights_per_tap(term):
    def value(taps, weights):
        loss = LossSum((term(taps, weights),), (1.0,))
        return loss(shallow(), X, loss.targets(shallow(), Y, S)).item()

    single = [value((tap,), ()) for tap in TAPS]
    assert value(TAPS, (2.0, 0.5)) == pytest.approx(2 * single[0] + 0.5 * single[1], rel=1e-4)
    assert value(TAPS, ()) == pytest.approx(sum(single), rel=1e-4)
    with pytest.raises(ValueError, match=f"{term.__name__} has 2 taps and 1 weights"):
        value(TAPS, (1.0,))


def test_every_term_falls_under_descent_and_vanishes_at_its_target():
    @jax.jit
    def run(x, weights):
        loss = LossSum(EVERYTHING, weights, 0.01)
        targets = loss.targets(shallow(), Y, S, MASK, MASK)
        value, gradient = jax.value_and_grad(lambda x: loss(shallow(), x, targets))(x)
        after = loss(shallow(), x - 1e-4 * gradient / jnp.linalg.norm(gradient), targets)
        return value, gradient, after

    for k in range(len(EVERYTHING)):
        weights = tuple(jnp.float32(k == n) for n in range(len(EVERYTHING)))
        value, gradient, after = run(X, weights)
        assert np.isfinite(gradient).all()
        assert 0 < after < value
        target = {"style": S, "content": Y, "none": jnp.full(X.shape, 0.5, jnp.float32)}[EVERYTHING[k].of]
        assert run(target, weights)[0] < 1e-4 * value
    assert run._cache_size() == 1


def test_what_is_refused():
    for loss in (LossSum((Gram(TAPS),), (1.0, 2.0)), LossSum((Gram(TAPS),), (1.0,), distance="l3")):
        with pytest.raises(ValueError, match=r"distance must be 'l1' or 'l2' and each of 1 terms needs a weight"):
            loss.targets(shallow(), Y, S)


class TestSeveralStyles:
    small = jnp.asarray(RNG.random((10, 12)), jnp.float32)

    @pytest.mark.parametrize(
        "make", [lambda: StyleLoss(quantile_count=4, **SHALLOW), lambda: LossSum(EVERYTHING, (1.0,) * 6)]
    )
    def test_targets_are_the_weighted_mean_of_statistics(self, make):
        loss = make()
        a, b = (loss.targets(shallow(), Y, style) for style in (S, self.small))
        found = blend([a, b], (3.0, 1.0))
        for name in a.averaged:
            jax.tree.map(
                lambda f, u, v: np.testing.assert_allclose(f, 0.75 * u + 0.25 * v, rtol=1e-5, atol=1e-6),
                *(getattr(t, name) for t in (found, a, b)),
            )
        jax.tree.map(np.testing.assert_array_equal, found.content, a.content)
        with pytest.raises(ValueError, match="2 style images need as many weights, not 1"):
            blend([a, b], (1.0,))

    def test_of_a_problem(self):
        loss = LossSum((Gram(TAPS), Content(TAPS[1:])), (20.0, 1.0))
        prior = Style(shallow(), loss, IntensityMap(knots=6), Adam(0.01), evaluations=3, style_weights=(3.0, 1.0))
        small_mask = jnp.zeros((10, 12)).at[2:8, 2:9].set(1.0)
        problem = Problem(Y, (S, self.small), MASK, (MASK, small_mask), Identity(), 0.1)
        targets = prior.init(problem)
        expected = 0.75 * gram(features(S, "conv1_1"), MASK) + 0.25 * gram(features(self.small, "conv1_1"), small_mask)
        np.testing.assert_allclose(targets.style[0]["conv1_1"], expected, rtol=1e-4, atol=1e-6)
        image, _ = prior.target(Y, targets, jnp.zeros((), int), jax.random.key(0))
        assert 1e-3 < np.abs(image - Y).max() < 0.2
        # one style alone, given twice, is that style
        twice = dataclasses.replace(problem, style=(S, S), style_mask=(MASK, MASK))
        once = dataclasses.replace(problem, style=S, style_mask=MASK)
        np.testing.assert_allclose(prior.score(Y, prior.init(twice)), prior.score(Y, prior.init(once)), rtol=1e-5)


def test_statistics_and_distances_of_half_precision_are_summed_in_float32():
    mean, _ = mean_and_deviation(jnp.ones((150, 150, 1), jnp.bfloat16))
    assert mean.dtype == jnp.float32
    np.testing.assert_allclose(mean, 1, rtol=1e-6)
    difference = jnp.linspace(1, 1.01, 64 * 64).astype(jnp.bfloat16)
    found = LossSum((), (), smoothing=0.0)._distance(difference, difference, None)
    np.testing.assert_allclose(found, np.asarray(difference, np.float32).mean(), rtol=1e-5)
