"""The outer loop, RNST's step, and the front door `reconstruct`."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import priors, solvers
from rnst_jax.physics import Identity
from rnst_jax.solvers import State
from rnst_jax.types import Problem, Status, pytree

from .phantoms import head, noisy
from .tables import shallow, short, solver

BALANCED = short("balanced", depths=(4,), denoiser="gaussian", steps=2)
SIDE = 32


def batch(count=3):
    pairs = [head(SIDE, "T2w", subject) for subject in range(count + 1)]
    y = np.stack([np.clip(noisy(x, 0.1, seed=k), 0, 1) for k, (x, _) in enumerate(pairs[:-1])])
    masks = np.stack([m for _, m in pairs]).astype(np.float32)
    options = {"mask": masks[:-1], "style_mask": masks[1:], "sigma": 0.1, "extractor": shallow()}
    return y, np.stack([x for x, _ in pairs[1:]]), options


def compilations(caplog, run):
    """How many programs XLA compiles while ``run`` runs."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run()
    return sum("Finished XLA compilation" in record.getMessage() for record in caplog.records)


def test_new_numbers_compile_nothing(caplog):
    y, styles, options = batch()

    def run(sigma, scale, **settings):
        config = dataclasses.replace(BALANCED, **settings)
        return rnst.reconstruct(scale * y, styles, preset=config, **{**options, "sigma": sigma}).image

    assert compilations(caplog, lambda: run(0.1, 1.0)) > 0
    first = run(0.1, 1.0)
    numbers = {"mu": 0.7, "alpha": 0.1, "beta": 0.6, "lam": 0.3, "stiffness": 0.5, "smoothing": 0.02}
    numbers |= {"style_weight": 30.0, "content_weight": 2.0, "learning_rate": 0.02, "sigma_factor": 1.5}
    assert compilations(caplog, lambda: run(0.05, 0.9, **numbers)) == 0
    assert not np.array_equal(first, run(0.1, 1.0, **numbers))


def test_same_seed_same_bytes():
    y, styles, options = batch()
    runs = [rnst.reconstruct(y, styles, preset=BALANCED, key=jax.random.key(3), **options) for _ in range(2)]
    for a, b in zip(*map(jax.tree.leaves, runs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_change_nothing(chunk):
    y, styles, options = batch()
    whole = rnst.reconstruct(y, styles, preset=BALANCED, chunk=3, **options)
    parts = rnst.reconstruct(y, styles, preset=BALANCED, chunk=chunk, **options)
    np.testing.assert_allclose(parts.image, whole.image, atol=1e-5)


def test_batch_mates_change_nothing():
    y, styles, options = batch()
    whole = rnst.reconstruct(y, styles, preset=BALANCED, **options)
    options |= {name: options[name][:1] for name in ("mask", "style_mask")}
    alone = rnst.reconstruct(y[:1], styles[:1], preset=BALANCED, **options)
    np.testing.assert_allclose(alone.image[0], whole.image[0], atol=1e-5)


def test_one_image_with_nan_is_reported_and_leaves_the_others_alone():
    y, styles, options = batch()
    broken = y.copy()
    broken[1, 16, 16] = np.nan
    good, found = (rnst.reconstruct(images, styles, preset=BALANCED, **options) for images in (y, broken))
    assert found.status.tolist() == [Status.MAX_STEPS, Status.NONFINITE, Status.MAX_STEPS]
    np.testing.assert_array_equal(found.image[::2], good.image[::2])


def test_air_is_zero_where_the_preset_is_masked():
    y, styles, options = batch()
    result = rnst.reconstruct(y, styles, preset=BALANCED, **options)
    assert not result.image[options["mask"] == 0].any()


class TestTolerance:
    config = short("balanced", depths=(2,), denoiser="gaussian", steps=4, beta=0.1, mu=0.5)

    def test_each_image_stops_by_itself(self):
        y, styles, options = batch()
        every = rnst.reconstruct(y, styles, preset=self.config, tol=-1.0, **options)
        errors = np.asarray(every.trace["error"])
        assert (np.diff(errors) < 0).all()
        # some images meet it on their way, at different steps
        tol = np.sort(errors.ravel())[errors.size // 2]
        met = errors <= tol
        expected = np.where(met.any(1), met.argmax(1) + 1, self.config.steps)
        assert len(set(expected.tolist())) > 1
        found = rnst.reconstruct(y, styles, preset=self.config, tol=float(tol), **options)
        assert found.steps.tolist() == expected.tolist()
        assert found.status.tolist() == [Status.CONVERGED if m.any() else Status.MAX_STEPS for m in met]
        # the trace is filled as far as an image went, and its evaluations are its own
        np.testing.assert_array_equal(np.isfinite(found.trace["error"]), np.arange(4) < expected[:, None])
        np.testing.assert_array_equal(found.evaluations, 2 * expected)
        first = int(expected.argmin())
        cut = dataclasses.replace(self.config, steps=int(expected[first]))
        alone = rnst.reconstruct(y, styles, preset=cut, **options)
        np.testing.assert_allclose(found.image[first], alone.image[first], atol=1e-5)


def test_a_solve_without_tolerance_has_a_gradient():
    smooth = {"parametrisation": "pixels", "reduce": 1, "distance": "l2", "optimiser": "torch-lbfgs"}
    # before the first ReLU: behind it the slope of the loss jumps, which differences see and a derivative does not
    smooth |= {"style_taps": ("conv1_1",), "content_taps": ("conv1_1",)}
    config = short("balanced", depths=(3,), denoiser="gaussian", denoise="every", **smooth)
    with jax.enable_x64(True):
        y, styles, options = batch(1)
        arrays = (jnp.asarray(a[0], jnp.float64) for a in (y, styles, options["mask"], options["style_mask"]))
        problem = Problem(*arrays, Identity(), jnp.float64(0.1))

        def loss(mu):
            s = dataclasses.replace(solver(config), mu=mu)
            return 100 * jnp.mean((rnst.solve(problem, s, max_steps=2).image - problem.style) ** 2)

        f, h = jax.jit(loss), 1e-5
        gradient = jax.jit(jax.grad(loss))(0.3)
        assert np.isfinite(gradient)
        np.testing.assert_allclose(gradient, (f(0.3 + h) - f(0.3 - h)) / (2 * h), rtol=1e-4)


class TestRnst:
    def problem(self):
        y, styles, options = batch(1)
        arrays = (y[0], styles[0], options["mask"][0], options["style_mask"][0])
        return Problem(*(jnp.asarray(a) for a in arrays), Identity(), 0.1)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_candidates_follow_the_formula(self, in_place):
        config = short("paper", depths=(2, 2), candidates=3, refine=0, denoiser="tv", in_place=in_place)
        problem = self.problem()
        s = solver(dataclasses.replace(config, alpha=0.3, beta=0.9, lam=0.6, mu=0.2))
        x = jnp.clip(problem.y + 0.1, 0, 1)
        trials = jax.jit(s.trials)(problem, s.init(problem, x), jnp.zeros((), int), jax.random.key(0))
        denoised = s.denoised.denoiser(x, problem.sigma)
        attractor = trials.images[-1] if in_place else denoised
        for i in range(3):
            for j in range(2):
                direction = 0.3 * (x - problem.y) + 0.9 * (x - trials.images[j]) + 0.6 * (x - attractor)
                found = trials.candidates[i * 2 + j]
                np.testing.assert_allclose(found, x - (i + 1) * 0.2 * direction, atol=1e-5)

    def test_the_best_candidate_wins(self):
        problem, s = self.problem(), solver(short("paper", depths=(2, 2), candidates=2, refine=1, denoiser="gaussian"))
        state, number, key = s.init(problem, problem.y), jnp.zeros((), int), jax.random.key(0)
        trials, new = jax.jit(s.trials)(problem, state, number, key), jax.jit(s.step)(problem, state, number, key)
        np.testing.assert_allclose(new.score, trials.scores.min(), rtol=1e-5)
        np.testing.assert_allclose(new.x, trials.refined[trials.scores.argmin()], atol=1e-5)
        assert new.evaluations == s.evaluations_per_step == 4 + 4

    def test_a_candidate_that_blew_up_does_not_win(self, monkeypatch):
        config = short("paper", depths=(2,), candidates=3, refine=0, denoiser="gaussian")
        problem, s = self.problem(), solver(config)
        arguments = (problem, s.init(problem, problem.y), jnp.zeros((), int), jax.random.key(0))
        honest, score = jax.jit(s.trials)(*arguments), type(s)._score
        best = honest.candidates[honest.scores.argmin()]

        def spoilt(self, x, targets):
            image, value = score(self, x, targets)
            return image, jnp.where(jnp.abs(x - best).mean() < 1e-4, jnp.nan, value)

        monkeypatch.setattr(type(s), "_score", spoilt)
        new = jax.jit(lambda *arguments: s.step(*arguments))(*arguments)
        np.testing.assert_allclose(new.score, np.sort(honest.scores)[1], rtol=1e-4)

    def test_upstream_denoises_once_and_rescales(self):
        config = short("upstream", depths=(2,), candidates=1, refine=0, denoiser="gaussian")
        problem, s = self.problem(), solver(config)
        x = 0.2 + 0.3 * problem.y
        state = s.init(problem, x)
        starts = [s._denoise(problem, s._stretch(state.x), jnp.int32(n), jax.random.key(0)) for n in (0, 1)]
        stretched = (x - x.min()) / (x.max() - x.min())
        np.testing.assert_allclose(starts[1], np.repeat(stretched[..., None], 3, -1), atol=1e-6)
        np.testing.assert_allclose(starts[0][..., 1], s.denoised.denoiser(stretched, 0.1), atol=1e-5)
        assert np.abs(starts[0] - starts[1]).max() > 0.01


@pytree
class Fall:
    """A solver for the loop's own tests: scores as given, x counts the steps, and a step may be bad."""

    scores: jax.Array
    keeps_best: bool = jax.tree.static(default=True)

    def init(self, problem, x0):
        inf = jnp.full((), jnp.inf)
        return State(x0, (), inf, inf, inf, jnp.zeros((), jnp.int32))

    def step(self, problem, state, number, key):
        score = self.scores[number]
        x = jnp.where(jnp.isnan(score), jnp.nan, state.x + 1)
        return dataclasses.replace(state, x=x, score=score, change=score, evaluations=state.evaluations + 5)

    def error(self, state):
        return state.change

    def image(self, state):
        return state.x


class TestDrive:
    problem = Problem(jnp.zeros((2, 2)), jnp.zeros((2, 2)), None, None, Identity(), 0.1)

    def run(self, scores, tol=None, keeps_best=True):
        return rnst.solve(self.problem, Fall(jnp.array(scores), keeps_best), max_steps=len(scores), tol=tol)

    @pytest.mark.parametrize("tol", [None, 0.0])
    def test_keeps_the_best(self, tol):
        result = self.run([3.0, 1.0, 2.0], tol)
        assert (result.image == 2).all()
        assert (result.score, result.steps, result.evaluations) == (1, 3, 15)
        assert result.trace["score"].tolist() == [3, 1, 2]

    def test_or_the_last(self):
        result = self.run([3.0, 1.0, 2.0], keeps_best=False)
        assert (result.image == 3).all()
        assert result.score == 2

    @pytest.mark.parametrize("keeps_best", [True, False])
    @pytest.mark.parametrize("tol", [None, 0.0])
    def test_a_bad_step_is_taken_back_and_ends_the_run(self, tol, keeps_best):
        result = self.run([3.0, 2.0, np.nan, 1.0], tol, keeps_best)
        assert result.status == Status.NONFINITE
        assert (result.image == 2).all()
        assert (result.steps, result.evaluations) == (3, 10)
        assert np.isnan(result.trace["score"][2:]).all()

    def test_converges(self):
        result = self.run([3.0, 0.5, 0.1], 0.5)
        assert (result.status, result.steps) == (Status.CONVERGED, 2)
        assert (result.image == 2).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_a_start_of_zeros_is_no_failure(dtype):
    y = jnp.full((300, 300), 0.9, dtype)
    half = priors.Function(lambda x: 0.5 * x)
    problem = Problem(y, y, None, None, Identity(), 0.05)
    # x = y / 1.5 where x - y + (x - x / 2) = 0
    result = rnst.solve(problem, solvers.RedGradient(half, 0.5, 1.0), jnp.zeros_like(y), max_steps=40, tol=1e-3)
    assert result.status == Status.CONVERGED
    assert result.trace["error"][0] == 1
    np.testing.assert_allclose(np.asarray(result.image, float), 0.6, rtol=5e-3)


def test_nan_in_the_air_is_black():
    image, mask = head(48)
    y = noisy(image, 0.03)[None]
    spoiled = np.where(np.hypot(*(np.indices(mask.shape) - 2)) < 2, np.nan, y)
    config = dataclasses.replace(short("fast"), native=1.0)  # slices with NaN do not tell of zero-filling
    options = {"mask": mask[None], "style_mask": mask[None], "preset": config, "extractor": shallow()}
    options |= {"sigma": 0.03, "whole_heads": False}
    expected = rnst.reconstruct(np.where(np.isnan(spoiled), 0, y), image[None], **options)
    found = rnst.reconstruct(spoiled, np.where(np.isnan(spoiled[0]), np.nan, image)[None], **options)
    np.testing.assert_array_equal(found.image, expected.image)
