"""Activation smoothing by softmax, and the defaults per extractor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax.style import StyleLoss, defaults, gram, smooth_activations

from .phantoms import head
from .tables import SHALLOW, shallow

RNG = np.random.default_rng(0)
F = (3 * RNG.standard_normal((6, 5, 4))).astype(np.float32)
MASK = np.pad(RNG.uniform(0.1, 1, (4, 3)), 1).astype(np.float32)


class TestSmoothActivations:
    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
    def test_is_its_formula(self, temperature):
        e = np.exp(F.astype(np.float64) / temperature)
        found = smooth_activations(F, temperature)
        np.testing.assert_allclose(found, e / e.sum() * e.size, rtol=1e-5)
        np.testing.assert_allclose(found.mean(), 1, rtol=1e-5)

    def test_masked(self):
        e = np.exp(F.astype(np.float64))
        expected = e / ((MASK[..., None] * e).sum() / (F.shape[-1] * MASK.sum()))
        inside = MASK > 0
        np.testing.assert_allclose(smooth_activations(F, 1.0, MASK)[inside], expected[inside], rtol=1e-5)

    def test_what_the_mask_excludes_does_not_count(self):
        other = np.where(MASK[..., None] > 0, F, 500.0).astype(np.float32)
        a, b = (smooth_activations(f, 1.0, MASK) for f in (F, other))
        assert np.isfinite(b).all()
        np.testing.assert_array_equal(a[MASK > 0], b[MASK > 0])
        np.testing.assert_array_equal(gram(a, MASK), gram(b, MASK))

    def test_a_mask_of_a_rectangle_is_a_crop(self):
        mask = (MASK > 0).astype(np.float32)
        found = gram(smooth_activations(F, 1.0, mask), mask)
        np.testing.assert_allclose(found, gram(smooth_activations(F[1:5, 1:4])), rtol=1e-5)

    @pytest.mark.parametrize("constant", [-40.0, 7.0, 1000.0])
    def test_a_constant_changes_nothing(self, constant):
        np.testing.assert_allclose(smooth_activations(F + np.float32(constant)), smooth_activations(F), rtol=1e-3)

    def test_the_size_does_not_matter(self):
        tiled = np.tile(F, (3, 2, 1))
        np.testing.assert_allclose(smooth_activations(tiled)[:6, :5], smooth_activations(F), rtol=1e-5)
        np.testing.assert_allclose(gram(smooth_activations(tiled)), gram(smooth_activations(F)), rtol=1e-5)

    def test_raises_the_entropy_of_a_peak(self):
        def entropy(f):
            p = np.asarray(f, np.float64).ravel()
            p = p[p > 0] / p.sum()
            return -(p * np.log(p)).sum()

        peaked = np.where(RNG.random(F.shape) < 0.1, 4.0, 0.0).astype(np.float32)
        entropies = [entropy(peaked), *(entropy(smooth_activations(peaked, t)) for t in (1.0, 4.0))]
        assert entropies == sorted(entropies)
        assert entropies[0] < entropies[1] - 0.1

    def test_an_empty_mask_is_finite(self):
        none = np.zeros_like(MASK)
        value, gradient = jax.value_and_grad(lambda f: gram(smooth_activations(f, 1.0, none), none).sum())(F)
        assert value == 0
        assert not gradient.any()

    @pytest.mark.parametrize("mask", [None, MASK])
    def test_gradient_is_that_of_differences(self, mask):
        direction = RNG.standard_normal(F.shape)

        def loss(f):
            weights = 1 if mask is None else mask[..., None]
            return jnp.sum(weights * smooth_activations(f, 2.0, mask) * direction)

        with jax.enable_x64(True):
            f, u = jnp.asarray(F, jnp.float64), jnp.asarray(RNG.standard_normal(F.shape))
            numeric = (loss(f + 1e-5 * u) - loss(f - 1e-5 * u)) / 2e-5
            np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(f), u), numeric, rtol=1e-6)

    def test_nan_is_not_swallowed(self):
        for position in ((2, 2, 1), (0, 0, 0)):  # inside the mask, and outside
            f = jnp.asarray(F).at[position].set(jnp.nan)
            assert np.isnan(gram(smooth_activations(f, 1.0, MASK), MASK)).all()

    def test_halves_become_float32(self):
        assert smooth_activations(jnp.asarray(F, jnp.bfloat16)).dtype == jnp.float32


class TestStyleLoss:
    (x, mask), (s, style_mask) = head(32, "T1w", 0), head(32, "T2w", 1)
    loss = StyleLoss(30.0, 2.0, 0.01, **SHALLOW)

    @staticmethod
    @jax.jit
    def value(loss, x, y, s, mask, style_mask):
        targets = loss.targets(shallow(), y, s, mask, style_mask)
        return jax.value_and_grad(lambda x: loss(shallow(), x, targets))(x)

    def run(self, loss, x, masked):
        masks = (jnp.asarray(self.mask, jnp.float32), jnp.asarray(self.style_mask, jnp.float32))
        return self.value(loss, x, self.x, self.s, *(masks if masked else (None, None)))

    def test_without_it_the_temperature_has_no_effect(self):
        a, b = (self.run(dataclasses.replace(self.loss, temperature=t), self.s, True) for t in (1.0, 9.0))
        assert a[0] == b[0]
        np.testing.assert_array_equal(a[1], b[1])

    @pytest.mark.parametrize("masked", [False, True])
    def test_is_finite_and_zero_at_its_target(self, masked):
        loss = dataclasses.replace(self.loss, softmax=True)
        value, gradient = self.run(loss, self.s, masked)
        assert value > 0
        assert np.isfinite(gradient).all()
        assert gradient.any()
        value, _ = self.run(dataclasses.replace(loss, style_weight=0.0), self.x, masked)
        assert value < 1e-6

    def test_is_its_formula(self):
        loss = StyleLoss(30.0, 2.0, softmax=True, temperature=2.0, **SHALLOW)
        taps = SHALLOW["style_taps"]
        f, fy, fs = (
            {t: np.exp(np.asarray(v[0], np.float64) / 2) for t, v in shallow()(i[None, ..., None], taps).items()}
            for i in (self.s, self.x, np.asarray(self.s.T))
        )
        f, fy, fs = ({t: v / v.mean() for t, v in group.items()} for group in (f, fy, fs))

        def g(f):
            flat = f.reshape(-1, f.shape[-1])
            return flat.T @ flat / flat.size

        style = sum(np.abs(g(f[t]) - g(fs[t])).mean() for t in taps)
        content = sum(np.abs(f[t] - fy[t]).mean() for t in SHALLOW["content_taps"])
        found = loss(shallow(), self.s, loss.targets(shallow(), self.x, self.s.T))
        np.testing.assert_allclose(found, 30 * style + 2 * content, rtol=1e-4)


def test_defaults():
    assert defaults("vgg16") == defaults("vgg19_bn")
    assert defaults("vgg16").style_factor == 1
    assert not defaults("vgg19").softmax
    assert all(defaults(f"resnet{n}").softmax for n in (18, 34, 50, 101, 152))
    with pytest.raises(ValueError, match="no style defaults for the extractor 'alexnet'; there are: vgg16,"):
        defaults("alexnet")
