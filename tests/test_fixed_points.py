"""Solvers with a linear symmetric denoiser against the linear equations they stand for; acceleration, schedules."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import solvers
from rnst_jax.denoise import Gaussian
from rnst_jax.physics import Identity, SliceProfile
from rnst_jax.priors import Denoised, Function, WeightedSum
from rnst_jax.schedules import Geometric, Linear, Listed
from rnst_jax.types import Problem, Status

from . import phantoms
from .tables import masked_fourier, shallow, short

SHAPE = (6, 5)
SIZE = 30
LAM, MU = 0.7, 0.6


def pairs():
    """A real operator to a smaller space: sums of pairs of rows, with a gain."""
    return SliceProfile(jnp.array([0.6, 0.6]), 2, SHAPE)


def blur(x):
    """Half of x and half of a Gaussian blur with periodic borders: symmetric, with eigenvalues in (0.5, 1]."""
    f, g = (jnp.fft.fftfreq(n) for n in x.shape)
    gain = jnp.exp(-8 * (f[:, None] ** 2 + g**2))
    return (x + jnp.fft.ifft2(gain * jnp.fft.fft2(x)).real) / 2


def matrix(f):
    """A linear function of an image as a matrix, by columns."""
    return np.asarray(jax.vmap(f)(jnp.eye(SIZE).reshape(-1, *SHAPE))).reshape(SIZE, -1).T


class Row(NamedTuple):
    """A solver, and whose fixed point it has."""

    make: Callable[[Any], Any]
    equation: str
    steps: int


ROWS = {
    "RedGradient": Row(lambda d: solvers.RedGradient(d, 0.5, LAM), "red", 400),
    "RedFixedPoint": Row(lambda d: solvers.RedFixedPoint(d, LAM), "red", 300),
    "RedProximalGradient": Row(lambda d: solvers.RedProximalGradient(d, LAM, 1.5), "red", 300),
    "red_apg": Row(lambda d: solvers.red_apg(d, LAM), "red", 300),
    "RedAdmm": Row(lambda d: solvers.RedAdmm(d, LAM, 0.8), "red", 300),
    "RedAdmm, two inner steps": Row(lambda d: solvers.RedAdmm(d, LAM, 0.8, inner=2), "red", 300),
    "PnpProximalGradient": Row(lambda d: solvers.PnpProximalGradient(d, MU), "pnp", 300),
    "pnp_fista": Row(lambda d: solvers.pnp_fista(d, MU), "pnp", 300),
    "PnpAdmm": Row(lambda d: solvers.PnpAdmm(d, MU), "pnp", 300),
    "HalfQuadratic": Row(lambda d: solvers.HalfQuadratic(d, MU), "hqs", 300),
    "Anderson of RedGradient": Row(lambda d: solvers.Anderson(solvers.RedGradient(d, 0.5, LAM)), "red", 40),
    "Anderson of RedFixedPoint": Row(lambda d: solvers.Anderson(solvers.RedFixedPoint(d, LAM)), "red", 40),
    "Anderson of PnpAdmm": Row(lambda d: solvers.Anderson(solvers.PnpAdmm(d, MU)), "pnp", 40),
    "Nesterov of RedGradient": Row(
        lambda d: solvers.Nesterov(solvers.RedGradient(d, 0.5, LAM), restart=True), "red", 120
    ),
    "Nesterov of HalfQuadratic": Row(
        lambda d: solvers.Nesterov(solvers.HalfQuadratic(d, MU), restart=True), "hqs", 100
    ),
    "Best of RedGradient": Row(
        lambda d: solvers.Best(solvers.RedGradient(d, 0.5, LAM), solvers.RedEnergy(d, LAM)), "red", 400
    ),
    "a schedule that ends there": Row(
        lambda d: solvers.RedGradient(d, Linear(0.2, 0.5, 9), Geometric(5.0, LAM, 9)), "red", 400
    ),
}


def problem_of(physics, seed=0):
    """A measurement that is not in the range of A, in float64."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(physics.forward, jnp.zeros(SHAPE))
    y = rng.standard_normal(like.shape)
    if jnp.iscomplexobj(like):
        y = y + 1j * rng.standard_normal(like.shape)
    return Problem(jnp.asarray(y), jnp.zeros(SHAPE), None, None, physics, 0.1)


def solution(problem, equation):
    """The fixed point by a dense linear solve."""
    d, eye = matrix(blur), np.eye(SIZE)
    a = matrix(problem.physics.forward)
    normal, back = (a.conj().T @ a).real, (a.conj().T @ np.asarray(problem.y).ravel()).real
    if equation == "red":
        return np.linalg.solve(normal + LAM * (eye - d), back)
    if equation == "pnp":
        return np.linalg.solve(eye - d + MU * d @ normal, MU * d @ back)
    # of half-quadratic splitting, the target of RED's fixed point for lambda = 1 / mu
    return d @ np.linalg.solve(MU * normal + eye - d, MU * back)


@pytest.mark.parametrize("name", ROWS)
def test_the_fixed_point_is_that_of_a_direct_solve(name):
    row = ROWS[name]
    with jax.enable_x64(True):
        problem = problem_of(masked_fourier(SHAPE))
        result = jax.jit(lambda p: rnst.solve(p, row.make(Function(blur)), max_steps=row.steps))(problem)
        expected = solution(problem, row.equation)
        start = problem.physics.adjoint(problem.y)
    assert result.image.dtype == jnp.float64
    np.testing.assert_allclose(result.image.ravel(), expected, atol=1e-4)
    assert np.abs(expected - np.asarray(start).ravel()).max() > 0.1


def test_the_gaussian_denoiser_too():
    # by RED's conditions at mirrored borders, in float32 as users run it
    prior = Denoised(Gaussian(), 2.0)
    problem = dataclasses.replace(problem_of(Identity()), sigma=0.2)
    problem = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), problem)
    d = matrix(lambda x: Gaussian()(x, 0.4))
    expected = np.linalg.solve((1 + LAM) * np.eye(SIZE) - LAM * d, np.asarray(problem.y).ravel())
    image = rnst.solve(problem, solvers.RedAdmm(prior, LAM), max_steps=60).image
    assert image.dtype == jnp.float32
    np.testing.assert_allclose(image.ravel(), expected, atol=1e-4)


def steps_to(solver, expected, problem, count=120):
    """How many steps it takes to come to 1e-6 of the fixed point and stay there."""
    errors = []
    state = solver.init(problem, problem.physics.adjoint(problem.y))
    step = jax.jit(solver.step)
    for n in range(count):
        state = step(problem, state, jnp.int32(n), jax.random.key(n))
        errors.append(np.abs(np.asarray(solver.image(state)).ravel() - expected).max())
    return 1 + int(np.flatnonzero(np.array(errors) > 1e-6).max(initial=-1))


def test_acceleration_accelerates():
    with jax.enable_x64(True):
        problem = problem_of(masked_fourier(SHAPE))
        plain, expected = solvers.RedGradient(Function(blur), 0.5, LAM), solution(problem, "red")
        counts = [
            steps_to(solver, expected, problem)
            for solver in (plain, solvers.Nesterov(plain, restart=True), solvers.Anderson(plain, ridge=1e-12))
        ]
    assert counts[0] > 1.5 * counts[1]
    assert counts[0] > 3 * counts[2]


def test_nesterov_is_fista_step_by_step():
    with jax.enable_x64(True):
        problem, mu, n = problem_of(pairs()), 0.4, 6
        a, d = matrix(problem.physics.forward), matrix(blur)
        y = np.asarray(problem.y).ravel()
        x = z = a.T @ y
        t = 1.0
        for _ in range(n):
            x_new = d @ (z - mu * a.T @ (a @ z - y))
            t_new = (1 + np.sqrt(1 + 4 * t**2)) / 2
            z = x_new + (t - 1) / t_new * (x_new - x)
            x, t = x_new, t_new
        found = rnst.solve(problem, solvers.pnp_fista(Function(blur), mu), max_steps=n).image
    np.testing.assert_allclose(found.ravel(), x, atol=1e-12)


def test_anderson_is_its_least_squares_problem():
    with jax.enable_x64(True):
        problem, memory, damping = problem_of(Identity()), 3, 0.8
        plain = solvers.RedGradient(Function(blur), 0.3, LAM)
        d, y = matrix(blur), np.asarray(problem.y).ravel()

        def step(z):
            return z - 0.3 * (z - y + LAM * (z - d @ z))

        points, images = [y], [step(y)]
        for _ in range(4):
            z, g = np.array(points[-memory:]), np.array(images[-memory:])
            f = g - z
            # a = (1 - sum b, b): a problem without a constraint
            b = np.linalg.lstsq((f[1:] - f[0]).T, -f[0], rcond=None)[0]
            mixed = np.concatenate([[1 - b.sum()], b]) @ (g - (1 - damping) * f)
            points.append(mixed)
            images.append(step(mixed))
        accelerated = solvers.Anderson(plain, damping, ridge=1e-14, memory=memory)
        found = rnst.solve(problem, accelerated, max_steps=5).image
    np.testing.assert_allclose(found.ravel(), images[-1], atol=1e-8)


@pytest.mark.parametrize("name", ["RedGradient", "Anderson of PnpAdmm"])
def test_the_driver_has_a_gradient(name):
    with jax.enable_x64(True):
        problem = problem_of(pairs() if name == "RedGradient" else Identity())

        def loss(k):
            prior = Function(lambda x, k: x + k * (blur(x) - x), (k,))
            return jnp.sum(jnp.sin(rnst.solve(problem, ROWS[name].make(prior), max_steps=12).image))

        f, h = jax.jit(loss), 1e-5
        gradient = jax.jit(jax.grad(loss))(0.8)
        np.testing.assert_allclose(gradient, (f(0.8 + h) - f(0.8 - h)) / (2 * h), rtol=1e-6)


def test_a_gradient_through_conjugate_gradients():
    with jax.enable_x64(True):
        problem = problem_of(SliceProfile(jnp.array([0.5, 0.3]), 1, SHAPE))

        def loss(rho):
            return jnp.sum(jnp.sin(rnst.solve(problem, solvers.RedAdmm(Function(blur), LAM, rho), max_steps=6).image))

        # they stop at a relative residual of 1e-6, which limits the differences
        f, h = jax.jit(loss), 1e-2
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.8), (f(0.8 + h) - f(0.8 - h)) / (2 * h), rtol=1e-3)


def test_a_gradient_survives_convergence():
    # nothing changes any more: the derivative of ||x+ - x|| would be 0 / 0
    problem = problem_of(Identity())

    def loss(lam):
        return jnp.sum(rnst.solve(problem, solvers.RedFixedPoint(Function(blur), lam), max_steps=200).image ** 2)

    assert np.isfinite(jax.jit(jax.grad(loss))(LAM))


@pytest.mark.parametrize("name", ["PnpAdmm", "Anderson of RedFixedPoint"])
def test_batch_mates_change_nothing(name):
    # float32; each stops by itself at its own step
    problems = [jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), problem_of(Identity(), s)) for s in range(3)]
    problems[1] = dataclasses.replace(problems[1], y=jnp.ones(SHAPE).at[0].set(0.999))

    def run(problem):
        return rnst.solve(problem, ROWS[name].make(Function(blur)), max_steps=80, tol=1e-4)

    single, mapped = jax.jit(run), jax.jit(jax.vmap(run))
    alone = [single(p) for p in problems]
    together = mapped(jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems))
    assert together.status.tolist() == [Status.CONVERGED] * 3
    assert together.steps.tolist() == [int(r.steps) for r in alone]
    assert len(set(together.steps.tolist())) > 1
    for k, r in enumerate(alone):
        np.testing.assert_allclose(together.image[k], r.image, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(together.trace["error"][k], r.trace["error"], rtol=1e-2, atol=1e-7)


def test_new_numbers_compile_nothing():
    traces = []
    problem = problem_of(Identity())

    @jax.jit
    def run(solver, sigma):
        traces.append(1)
        return rnst.solve(dataclasses.replace(problem, sigma=sigma), solver, max_steps=3).image

    def make(k):
        prior = Denoised(Gaussian(scale=k), factor=Linear(2.0, k, 3.0))
        red = solvers.RedGradient(prior, mu=0.4 * k, lam=Listed(jnp.array([1.0, 0.5]) * k))
        return solvers.Best(solvers.Anderson(red, damping=k), solvers.RedEnergy(prior, k))

    first, second = run(make(1.0), 0.1), run(make(0.9), 0.05)
    assert len(traces) == 1
    assert not np.array_equal(first, second)


def test_schedules_reach_step_and_denoiser():
    problem = problem_of(Identity())
    seen = solvers.RedGradient(
        Function(lambda x: jnp.zeros_like(x)), mu=Listed(jnp.array([0.5, 0.25])), lam=lambda n: n + 1.0
    )
    x = y = np.asarray(problem.y)
    for mu, lam in ((0.5, 1.0), (0.25, 2.0), (0.25, 3.0)):
        x = x - mu * (x - y + lam * x)
    np.testing.assert_allclose(rnst.solve(problem, seen, max_steps=3).image, x, atol=1e-6)

    told = Denoised(lambda x, sigma: jnp.full_like(x, sigma), factor=Geometric(4.0, 1.0, 3))
    images = [rnst.solve(problem, solvers.PnpProximalGradient(told), max_steps=n).image[0, 0] for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(images, [0.4, 0.2, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize("schedule", [Linear, Geometric])
def test_a_change_in_one_step_has_the_last_value(schedule):
    assert [float(schedule(4.0, 1.0, 1)(n)) for n in (0, 1)] == [1.0, 1.0]


class TestScoresAndEvaluations:
    problem = problem_of(Identity())

    def test_a_denoiser_counts_its_calls_and_has_no_score(self):
        result = rnst.solve(self.problem, solvers.RedAdmm(Function(blur), inner=3), max_steps=4)
        assert result.evaluations == 12
        assert np.isnan(result.score)
        assert np.isnan(result.trace["score"]).all()

    def test_a_style_counts_and_scores(self):
        style = rnst.presets.build(short("balanced", parametrisation="pixels", reduce=1), shallow()).style
        style = dataclasses.replace(style, evaluations=3)
        rng = np.random.default_rng(0)
        y, s = jnp.asarray(rng.random((2, 12, 12)), jnp.float32)
        problem = Problem(y, s, None, None, Identity(), jnp.float32(0.1))
        prior = WeightedSum((Denoised(Gaussian()), style), (2.0, 0.5))
        result = jax.jit(lambda p: rnst.solve(p, solvers.RedFixedPoint(prior), max_steps=2))(problem)
        assert result.evaluations == 2 * (1 + 3)
        score = jax.jit(lambda x, p: style.score(x, style.init(p)))(result.image, problem)
        np.testing.assert_allclose(result.score, 0.5 * score, rtol=1e-4)
        # a compiler may compute it twice, and round in two ways
        np.testing.assert_array_max_ulp(result.score, result.trace["score"][-1], maxulp=1)

    def test_best_is_the_best(self):
        prior = Function(blur)
        energy = solvers.RedEnergy(prior, LAM)
        diverges = solvers.RedGradient(prior, Listed(jnp.array([0.3, 0.3, 3.0])), LAM)
        result = rnst.solve(self.problem, solvers.Best(diverges, energy), max_steps=8)
        expected = rnst.solve(self.problem, diverges, max_steps=2)
        np.testing.assert_allclose(result.image, expected.image, atol=1e-6)
        assert result.score == result.trace["score"][1] == result.trace["score"].min()
        np.testing.assert_allclose(result.score, energy(self.problem, result.image), rtol=1e-5)
        # the solver inside went on undisturbed
        assert result.trace["score"][-1] > 100 * result.score

    def test_best_counts_the_start(self):
        worse = solvers.RedGradient(Function(blur), 3.0, LAM)
        result = rnst.solve(self.problem, solvers.Best(worse, solvers.RedEnergy(Function(blur), LAM)), max_steps=3)
        np.testing.assert_array_equal(result.image, self.problem.y)

    def test_best_needs_a_score(self):
        with pytest.raises(ValueError, match=r"has no score; give one: Best\(solver, RedEnergy"):
            rnst.solve(self.problem, solvers.Best(solvers.RedGradient(Function(blur))), max_steps=1)

    def test_red_energy_falls_under_descent(self):
        prior = Function(blur)
        solver = solvers.Best(solvers.RedGradient(prior, 0.3, LAM), solvers.RedEnergy(prior, LAM))
        scores = np.asarray(rnst.solve(self.problem, solver, max_steps=10).trace["score"])
        assert (np.diff(scores) < 0).all()


def test_annealed_couples_mu_to_sigma():
    solver = solvers.annealed(Gaussian(), steps=4, first=3.0, last=1.5, lam=2.0)
    factors, mus = ([float(schedule(n)) for n in range(6)] for schedule in (solver.prior.factor, solver.mu))
    np.testing.assert_allclose(np.square(factors) / 2, mus, rtol=1e-5)
    np.testing.assert_allclose([factors[0], factors[3], factors[5]], [3.0, 1.5, 1.5], rtol=1e-5)


def test_complete_ends_with_the_data():
    with jax.enable_x64(True):
        problem = problem_of(pairs())
        x0 = problem.physics.adjoint(problem.y)
        found = solvers.complete(problem, Gaussian(), x0, steps=3)
        x = rnst.solve(problem, solvers.annealed(Gaussian(), 3), x0, max_steps=3).image
        # (A^H A + 1) u = A^H y + x
        np.testing.assert_allclose(problem.physics.normal(found) + found, x0 + x, atol=1e-5)
        assert jnp.abs(found - x).max() > 1e-3
        with pytest.raises(ValueError, match="2 steps or more, not 1"):
            solvers.complete(problem, Gaussian(), x0, steps=1)


def test_completion_undoes_the_aliasing_of_half_the_lines():
    """The result of a solver that does nothing but complete and denoise, against the same without completing."""
    head, mask = phantoms.head(64)
    fourier = rnst.physics.Fourier(rnst.physics.masks.variable_density(jax.random.key(1), head.shape, 2.0, 12))
    problem = Problem(fourier.forward(jnp.asarray(head)), head, mask, mask, fourier, 0.02)
    config = short("balanced", denoiser="tv", native=1, steps=1, beta=0.0, endpoints=0.0, sharpening=0.0)
    errors = []
    for completion in (0, 4):
        solver = rnst.presets.build(dataclasses.replace(config, completion=completion), shallow())
        image = jax.jit(functools.partial(rnst.solve, max_steps=1))(problem, solver).image
        errors.append(float(jnp.sqrt(jnp.mean(jnp.square(image - head)[mask > 0]))))
    assert errors[1] < 0.75 * errors[0]


def test_solvers_nest():
    # best of accelerated ADMM
    with jax.enable_x64(True):
        problem, prior = problem_of(Identity()), Function(blur)
        inner = solvers.Nesterov(solvers.PnpAdmm(prior, MU), restart=True)
        distance = jax.tree_util.Partial(functools.partial(_distance, jnp.asarray(solution(problem, "pnp"))))
        result = jax.jit(lambda s: rnst.solve(problem, s, max_steps=40))(solvers.Best(inner, distance))
        assert result.score < 1e-4
        assert result.evaluations == 40


def _distance(expected, problem, image):
    return jnp.abs(image.ravel() - expected).max()


@pytest.mark.parametrize("wrap", [lambda s: solvers.Nesterov(s, restart=True), solvers.Anderson])
def test_images_may_be_complex(wrap):
    # D x = x / 2, so that the fixed point is y / (1 + lambda / 2)
    y = jnp.asarray([[1 + 2j, -0.5j], [0.3, 1j]], jnp.complex64)
    problem = Problem(y, jnp.zeros((2, 2)), None, None, Identity(), 0.1)
    prior = Function(lambda x: x / 2)
    solver = solvers.Best(wrap(solvers.RedAdmm(prior, LAM)), solvers.RedEnergy(prior, LAM))
    result = rnst.solve(problem, solver, max_steps=30)
    assert result.image.dtype == jnp.complex64
    np.testing.assert_allclose(result.image, y / (1 + LAM / 2), atol=1e-4)
