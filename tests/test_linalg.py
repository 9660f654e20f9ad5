"""Linear algebra on pytrees, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import linalg


def matrix(seed, rows, cols):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, cols)) + 1j * rng.standard_normal((rows, cols))).astype(np.complex64)


def hermitian(seed, size):
    m = matrix(seed, size, size)
    return m @ m.conj().T / size + np.eye(size, dtype=np.complex64)


def test_vdot_and_norm_over_leaves():
    a, b = matrix(0, 2, 3), matrix(1, 2, 3)
    np.testing.assert_allclose(linalg.vdot({"u": a, "v": [b]}, {"u": b, "v": [b]}), np.vdot(a, b) + np.vdot(b, b), 1e-5)
    np.testing.assert_allclose(linalg.norm([a, b]), np.linalg.norm(np.concatenate([a, b])), 1e-6)


def test_adjoint_of_a_complex_map_is_the_conjugate_transpose():
    a, y = matrix(0, 3, 5), matrix(1, 3, 1)[:, 0]
    apply = linalg.adjoint(lambda x: a @ x, jax.ShapeDtypeStruct((5,), jnp.complex64))
    np.testing.assert_allclose(apply(y), a.conj().T @ y, atol=1e-5)


def test_adjoint_of_a_map_between_trees():
    a, b = matrix(0, 3, 5).real, matrix(1, 3, 2).real
    like = {"u": jnp.zeros(5), "v": jnp.zeros(2)}
    out = linalg.adjoint(lambda x: a @ x["u"] + b @ x["v"], like)(jnp.ones(3))
    np.testing.assert_allclose(out["u"], a.sum(0), atol=1e-5)
    np.testing.assert_allclose(out["v"], b.sum(0), atol=1e-5)


@pytest.mark.parametrize("start", [False, True])
def test_conjugate_gradient_solves(start):
    a, b = hermitian(0, 12), matrix(1, 12, 1)[:, 0]
    x0 = jnp.asarray(matrix(2, 12, 1)[:, 0]) if start else None
    x, steps = linalg.conjugate_gradient(lambda v: a @ v, jnp.asarray(b), x0)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), atol=1e-4)
    assert 1 <= int(steps) <= 50


def test_conjugate_gradient_stops():
    a, b = hermitian(0, 12), jnp.asarray(matrix(1, 12, 1)[:, 0])
    _, loose = linalg.conjugate_gradient(lambda v: a @ v, b, tol=1e-1)
    _, tight = linalg.conjugate_gradient(lambda v: a @ v, b, tol=1e-5)
    _, capped = linalg.conjugate_gradient(lambda v: a @ v, b, tol=0.0, max_steps=3)
    assert int(loose) < int(tight)
    assert int(capped) == 3


def test_conjugate_gradient_of_zero_takes_no_step():
    x, steps = linalg.conjugate_gradient(lambda v: 2 * v, jnp.zeros(4))
    assert int(steps) == 0
    assert x.tolist() == [0, 0, 0, 0]


def test_conjugate_gradient_lanes_stop_by_themselves():
    a = jnp.stack([jnp.asarray(hermitian(k, 8)) for k in range(3)])
    b = jnp.stack([jnp.asarray(matrix(k, 8, 1)[:, 0]) for k in range(3)])

    def solve(a, b):
        return linalg.conjugate_gradient(lambda v: a @ v, b, tol=1e-3)

    x, steps = jax.vmap(solve)(a, b)
    for k in range(3):
        alone, count = solve(a[k], b[k])
        assert int(steps[k]) == int(count)
        np.testing.assert_allclose(x[k], alone, atol=1e-5)


@pytest.mark.parametrize("size", [1.0, 1.0 + 1.0j])
def test_conjugate_gradient_has_the_derivatives_of_the_solution(size):
    matrix_, b = jnp.asarray(hermitian(0, 6)), jnp.asarray(matrix(1, 6, 1)[:, 0])
    if size == 1.0:
        matrix_, b = matrix_.real, b.real

    def cg(gamma, b):
        x, _ = linalg.conjugate_gradient(lambda v: v + gamma * (matrix_ @ v), b, tol=1e-7)
        return jnp.sum(jnp.abs(x - 1) ** 2)

    def direct(gamma, b):
        x = jnp.linalg.solve(jnp.eye(6) + gamma * matrix_, b)
        return jnp.sum(jnp.abs(x - 1) ** 2)

    for found, expected in zip(jax.grad(cg, (0, 1))(0.5, b), jax.grad(direct, (0, 1))(0.5, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        jax.jvp(lambda g: cg(g, b), (0.5,), (1.0,))[1], jax.grad(direct)(0.5, b), rtol=1e-3, atol=1e-4
    )


def test_power_iteration_finds_the_largest_eigenvalue():
    a = hermitian(0, 12)
    like = jnp.zeros(12, jnp.complex64)
    value = linalg.power_iteration(lambda v: a @ v, like, jax.random.key(0), steps=200)
    np.testing.assert_allclose(value, np.linalg.eigvalsh(a)[-1], rtol=1e-4)
