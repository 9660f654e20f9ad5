"""What every operator, denoiser, prior and solver must do; the rows are in tables.py."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax.physics import Identity
from rnst_jax.types import Denoiser, Physics, Problem, Status

from .phantoms import head, noisy
from .tables import DENOISERS, OPERATORS, PRIORS, SOLVERS

SIGMA = 0.12
SHAPE = (8, 6)


def apply(denoiser, x, sigma):
    return denoiser(x, sigma)


def images(row, count=2):
    clean = np.stack([head(row.size, subject=k)[0] for k in range(count)])
    return clean, np.stack([noisy(x, SIGMA, seed=k) for k, x in enumerate(clean)])


def scaled(tree, factor):
    return cast(jax.tree.map(lambda leaf: factor * jnp.asarray(leaf), tree), jnp.float32)


def cast(tree, dtype):
    """All leaves as numbers of this precision, complex ones as complex numbers of it."""

    def convert(leaf):
        leaf = jnp.asarray(leaf)
        return leaf.astype((1j * jnp.ones((), dtype)).dtype if jnp.iscomplexobj(leaf) else dtype)

    return jax.tree.map(convert, tree)


@pytest.mark.parametrize("row", DENOISERS)
class TestDenoisers:
    def test_is_a_denoiser(self, row):
        assert isinstance(row.make(), Denoiser)

    def test_jit_equals_eager_in_float32(self, row):
        _, (y, _) = images(row)
        eager, jitted = row.make()(y, SIGMA), jax.jit(apply)(row.make(), y, SIGMA)
        assert jitted.dtype == jnp.float32
        assert eager.dtype == jnp.float32
        assert jitted.shape == y.shape
        np.testing.assert_allclose(jitted, eager, atol=1e-5)

    def test_vmap_equals_a_loop(self, row):
        # Each image has its own sigma and its own hyperparameters.
        _, ys = images(row)
        sigmas, factors = jnp.array([SIGMA, 0.5 * SIGMA]), (1.0, 0.8)
        rows = [scaled(row.make(), f) for f in factors]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
        together = jax.jit(jax.vmap(apply))(stacked, ys, sigmas)
        single = jax.jit(apply)
        alone = jnp.stack([single(*args) for args in zip(rows, ys, sigmas, strict=True)])
        np.testing.assert_allclose(together, alone, atol=1e-5)

    def test_new_numbers_do_not_recompile(self, row):
        traces = []

        @jax.jit
        def run(denoiser, x, sigma):
            traces.append(1)
            return denoiser(x, sigma)

        _, (y, z) = images(row)
        run(scaled(row.make(), 1.0), y, SIGMA)
        run(scaled(row.make(), 0.7), z, 0.5 * SIGMA)
        assert len(traces) == 1

    def test_nan_is_not_swallowed(self, row):
        _, (y, _) = images(row)
        y[row.size // 2, row.size // 3] = np.nan
        assert np.isnan(jax.jit(apply)(row.make(), y, SIGMA)).any()

    def test_lowers_the_error(self, row):
        clean, ys = images(row)
        run = jax.jit(apply)
        for x, y in zip(clean, ys, strict=True):
            before, after = np.mean((y - x) ** 2), np.mean((np.asarray(run(row.make(), y, SIGMA)) - x) ** 2)
            assert after < 0.85 * before if row.lowers else after == before

    def test_keeps_constants(self, row):
        flat = np.full((row.size, row.size), 0.37, np.float32)
        np.testing.assert_allclose(jax.jit(apply)(row.make(), flat, SIGMA), flat, atol=row.constants)

    @pytest.mark.parametrize("sigma", [1e-6, 0.0])
    def test_no_noise_no_change(self, row, sigma):
        y = row.keeps(images(row)[1][0])
        np.testing.assert_allclose(jax.jit(apply)(row.make(), y, sigma), y, atol=1e-4)

    def test_images_need_not_be_square(self, row):
        _, (y, _) = images(row)
        y = y[:, : row.size - 5]
        out = jax.jit(apply)(row.make(), y, SIGMA)
        assert out.shape == y.shape
        assert np.isfinite(out).all()


@pytest.mark.parametrize("make", OPERATORS)
class TestOperators:
    """Compiling is what takes time here, so that the tests of a row share their programs."""

    @staticmethod
    @functools.cache
    def pair(make, seed=0):
        """An operator, an image and a measurement that is not in the operator's range."""
        rng = np.random.default_rng(seed)
        operator = make(SHAPE)
        x = jnp.asarray(rng.standard_normal(SHAPE), jnp.float32)
        like = jax.eval_shape(operator.forward, x)
        y = rng.standard_normal(like.shape)
        if jnp.iscomplexobj(like):
            y = y + 1j * rng.standard_normal(like.shape)
        return operator, x, jnp.asarray(y, like.dtype)

    @staticmethod
    @functools.cache
    def prox(make):
        return jax.jit(lambda operator, *args: operator.prox(*args))

    @staticmethod
    @functools.cache
    def maps(make):
        """A x, A^H y and A^H A x of an operator, an image and a measurement; and A as a matrix on flat images."""
        basis = jnp.eye(int(np.prod(SHAPE)), dtype=jnp.float32).reshape(-1, *SHAPE)
        dense = jax.jit(jax.vmap(lambda operator, x: operator.forward(x), in_axes=(None, 0)))
        columns = np.asarray(dense(make(SHAPE), basis))
        matrix = columns.reshape(len(columns), -1).T.astype(np.complex128)
        return jax.jit(lambda operator, x, y: (operator.forward(x), operator.adjoint(y), operator.normal(x))), matrix

    def test_is_a_physics(self, make):
        assert isinstance(make(SHAPE), Physics)

    def test_dot(self, make):
        operator, x, y = self.pair(make)
        ax, ahy, _ = self.maps(make)[0](operator, x, y)
        assert (ax.dtype, ahy.dtype) == (y.dtype, jnp.float32)
        there, back = jnp.vdot(ax, y).real, jnp.vdot(x, ahy)
        assert abs(there - back) <= 1e-5 * jnp.linalg.norm(ax.ravel()) * jnp.linalg.norm(y.ravel())

    def test_dot_in_double_precision(self, make):
        with jax.enable_x64(True):
            operator, x, y = cast(self.pair(make), jnp.float64)
            ax, ahy, _ = self.maps(make)[0](operator, x, y)
            assert (ax.dtype, ahy.dtype) == (y.dtype, jnp.float64)
            there, back = (np.vdot(*map(np.asarray, pair)).real for pair in ((ax, y), (x, ahy)))
            assert abs(there - back) <= 1e-11 * np.linalg.norm(ax) * np.linalg.norm(y)

    def test_normal(self, make):
        maps, a = self.maps(make)
        operator, x, y = self.pair(make)
        expected = (a.conj().T @ a).real @ np.asarray(x).ravel()
        np.testing.assert_allclose(maps(operator, x, y)[2].ravel(), expected, atol=2e-5)

    @pytest.mark.parametrize("gamma", [0.0, 0.3, 10.0])
    def test_prox_is_the_minimum(self, make, gamma):
        operator, z, y = self.pair(make)
        _, a = self.maps(make)
        # the minimum by a direct solve of a least-squares problem of real numbers
        rows = np.concatenate([np.sqrt(gamma) * a.real, np.sqrt(gamma) * a.imag, np.eye(z.size)])
        measured = np.sqrt(gamma) * np.asarray(y).ravel()
        right = np.concatenate([measured.real, measured.imag, np.asarray(z).ravel()])
        x = self.prox(make)(operator, z, y, gamma)
        assert x.dtype == jnp.float32
        np.testing.assert_allclose(x.ravel(), np.linalg.lstsq(rows, right)[0], atol=2e-5)

    def test_vmap_equals_a_loop(self, make):
        # Each image has its own operator: other masks, maps and kernels.
        operators, zs, ys = zip(*(self.pair(make, seed) for seed in range(3)), strict=True)
        operators = [scaled(operator, k) for operator, k in zip(operators, (1.0, 0.7, 1.2), strict=True)]
        gammas = jnp.array([0.1, 1.0, 5.0])
        together = jax.jit(jax.vmap(lambda operator, *args: operator.prox(*args)))(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *operators), jnp.stack(zs), jnp.stack(ys), gammas
        )
        alone = [self.prox(make)(*args) for args in zip(operators, zs, ys, gammas, strict=True)]
        np.testing.assert_allclose(together, jnp.stack(alone), atol=1e-5)

    def test_new_numbers_do_not_recompile(self, make):
        operator, z, y = self.pair(make)
        run = self.prox(make)
        run(operator, z, y, jnp.float32(0.5))
        before = run._cache_size()
        run(scaled(operator, 0.5), 2 * z, 3 * y, jnp.float32(0.7))
        assert run._cache_size() == before

    def test_nan_is_not_swallowed(self, make):
        operator, x, y = self.pair(make)
        broken = x.at[0, 0].set(jnp.nan)
        assert jnp.isnan(self.maps(make)[0](operator, broken, y)[0]).any()
        assert jnp.isnan(self.prox(make)(operator, broken, y, 1.0)).any()


SIDE = 24
KEY, ONE = jax.random.key(0), jnp.float32(1.0)


@functools.cache
def problem(seed=0, sigma=SIGMA):
    """A noisy head, another one as style, and their masks."""
    (y, mask), (style, style_mask) = (head(SIDE, "T2w", subject) for subject in (seed, seed + 1))
    # Air counts a little and is noisy, so that no pixel's gradient is rounding alone.
    arrays = (np.clip(noisy(y, sigma, seed), 0, 1), style, np.maximum(mask, 0.25), np.maximum(style_mask, 0.25))
    return Problem(*(jnp.asarray(a, jnp.float32) for a in arrays), Identity(), jnp.float32(sigma))


def stack(*trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def close(found, expected, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), found, expected)


@pytest.mark.parametrize("make", PRIORS)
class TestPriors:
    @staticmethod
    @functools.cache
    def runner(make):
        """Plain and jitted: functions of k and a problem."""

        def target(k, problem):
            prior = make(k)
            image, _ = prior.target(problem.y, prior.init(problem), jnp.zeros((), int), KEY)
            return image

        return target, jax.jit(target)

    def test_jit_equals_eager_in_float32(self, make):
        plain, jitted = self.runner(make)
        eager, image = plain(ONE, problem()), jitted(ONE, problem())
        assert image.shape == (SIDE, SIDE)
        assert image.dtype == eager.dtype == jnp.float32
        np.testing.assert_allclose(image, eager, atol=1e-5)

    def test_it_moves_the_image(self, make):
        image = self.runner(make)[1](ONE, problem())
        assert 1e-3 < np.abs(image - problem().y).max() < 1

    def test_vmap_equals_a_loop(self, make):
        plain, jitted = self.runner(make)
        ks, problems = jnp.array([1.0, 0.7]), [problem(0), problem(1, 0.5 * SIGMA)]
        together = jax.jit(jax.vmap(plain))(ks, stack(*problems))
        close(together, jnp.stack([jitted(k, p) for k, p in zip(ks, problems, strict=True)]))

    def test_new_numbers_do_not_recompile(self, make):
        _, jitted = self.runner(make)
        before = jitted(ONE, problem())
        after = jitted(jnp.float32(0.8), problem(1, 0.5 * SIGMA))
        assert jitted._cache_size() == 1
        assert not np.array_equal(before, after)

    def test_nan_is_not_swallowed(self, make):
        p = problem()
        broken = dataclasses.replace(p, y=p.y.at[12, 12].set(jnp.nan))
        assert jnp.isnan(self.runner(make)[1](ONE, broken)).any()


@pytest.mark.parametrize("row", SOLVERS)
class TestSolvers:
    """Compiling is what takes time here, so that the tests of a row share two programs."""

    k = jnp.array([1.0, 0.7], jnp.float32)

    @staticmethod
    @functools.cache
    def runner(row):
        """Plain, jitted for one image, jitted for a batch: functions of k and a problem."""

        def run(k, problem):
            return rnst.solve(problem, row.make(k), max_steps=row.steps, key=KEY)

        return run, jax.jit(run), jax.jit(jax.vmap(run))

    def test_jit_equals_eager_and_types_stay(self, row):
        plain, jitted, _ = self.runner(row)
        eager, result = plain(self.k[0], problem()), jitted(self.k[0], problem())
        np.testing.assert_allclose(result.image, eager.image, atol=1e-5)
        close(result, eager, 1e-4)
        for r in (eager, result):
            assert r.image.dtype == r.score.dtype == jnp.float32
            assert r.status.dtype == r.steps.dtype == r.evaluations.dtype == jnp.int32
            assert {v.dtype for v in r.trace.values()} == {jnp.dtype(jnp.float32)}
            assert r.image.shape == (SIDE, SIDE)
        assert result.status == Status.MAX_STEPS
        assert result.steps == row.steps
        assert result.evaluations == row.evaluations
        assert np.isfinite(result.trace["error"]).all()

    def test_vmap_equals_a_loop_and_new_numbers_do_not_recompile(self, row):
        # Each image has its own settings.
        _, jitted, mapped = self.runner(row)
        problems = [problem(0), problem(1, 0.5 * SIGMA)]
        together = mapped(self.k, stack(*problems))
        alone = stack(*(jitted(k, p) for k, p in zip(self.k, problems, strict=True)))
        np.testing.assert_allclose(together.image, alone.image, atol=1e-5)
        close(together, alone, 1e-4)
        assert not np.array_equal(jitted(self.k[1], problem()).image, alone.image[0])
        assert jitted._cache_size() == 1

    def test_nan_is_reported_and_stays_with_its_image(self, row):
        mapped = self.runner(row)[2]
        good = stack(problem(0), problem(1))
        y = good.y.at[0, 12, 12].set(jnp.nan)
        expected, found = mapped(self.k, good), mapped(self.k, dataclasses.replace(good, y=y))
        assert found.status.tolist() == [Status.NONFINITE, Status.MAX_STEPS]
        assert found.steps[0] == 0
        np.testing.assert_array_equal(found.image[1], expected.image[1])
        np.testing.assert_array_equal(found.image[0], y[0])
