"""Linear algebra on pytrees: adjoints, conjugate gradients, power iteration, inner products."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.types import PRNGKey, Scalar

LinearMap = Callable[[Any], Any]


def vdot(a: Any, b: Any) -> Array:
    """The inner product <a, b> = sum conj(a) b over all leaves.

    Examples:
        >>> import jax.numpy as jnp
        >>> vdot({"u": jnp.array([1j])}, {"u": jnp.array([2j])}).item()
        (2+0j)
    """
    products = jax.tree.leaves(jax.tree.map(jnp.vdot, a, b))
    return jnp.sum(jnp.stack(products))


def norm(a: Any) -> Array:
    """The Euclidean norm sqrt(<a, a>) over all leaves, real.

    Examples:
        >>> norm([3.0, 4.0]).item()
        5.0
    """
    return jnp.sqrt(vdot(a, a).real)


def adjoint(forward: LinearMap, x_like: Any) -> LinearMap:
    """A^H for a linear function A, real or complex: conj . transpose . conj.

    ``jax.linear_transpose`` gives A^T, which is not the adjoint of a complex map: it must be conjugated on both sides.

    Args:
        forward: a linear function of one pytree.
        x_like: an example (or ``jax.ShapeDtypeStruct``) of its argument.

    Examples:
        >>> import jax.numpy as jnp
        >>> a_h = adjoint(lambda x: 1j * x, jnp.zeros(1, jnp.complex64))
        >>> a_h(jnp.ones(1, jnp.complex64)).tolist()
        [-1j]
    """
    transpose = jax.linear_transpose(forward, x_like)

    def apply(y: Any) -> Any:
        (x,) = transpose(jax.tree.map(jnp.conj, y))
        return jax.tree.map(jnp.conj, x)

    return apply


def conjugate_gradient(
    a: LinearMap, b: Any, x0: Any | None = None, *, tol: Scalar = 1e-6, max_steps: int = 50
) -> tuple[Any, Int[Array, ""]]:
    """Solve A x = b for a Hermitian positive definite A by conjugate gradients.

    Derivatives are those of A^-1 b (one more solve), in forward and reverse mode; x0, tol and max_steps have none.

    Args:
        a: the map x -> A x.
        b: the right-hand side.
        x0: the start, zero by default.
        tol: stop when ||b - A x|| <= tol ||b||.
        max_steps: stop after so many iterations (static).

    Returns:
        x and the number of iterations taken.

    Source: Hestenes and Stiefel, J. Res. Nat. Bur. Stand. 49 (1952).

    Examples:
        >>> import jax.numpy as jnp
        >>> x, steps = conjugate_gradient(lambda v: jnp.array([2.0, 4.0]) * v, jnp.ones(2))
        >>> x.round(5).tolist(), int(steps)
        ([0.5, 0.25], 2)
    """

    def solve(a: LinearMap, b: Any, x: Any) -> tuple[Any, Int[Array, ""]]:
        r = jax.tree.map(jnp.subtract, b, a(x))
        limit = (tol * norm(b)) ** 2
        rr = vdot(r, r).real

        def unfinished(state):
            *_, rr, step = state
            return (rr > limit) & (step < max_steps)

        def iterate(state):
            x, r, p, rr, step = state
            ap = a(p)
            alpha = rr / vdot(p, ap).real
            x = jax.tree.map(lambda u, v: u + alpha * v, x, p)
            r = jax.tree.map(lambda u, v: u - alpha * v, r, ap)
            rr_new = vdot(r, r).real
            p = jax.tree.map(lambda u, v: u + (rr_new / rr) * v, r, p)
            return x, r, p, rr_new, step + 1

        x, *_, steps = jax.lax.while_loop(unfinished, iterate, (x, r, r, rr, jnp.zeros((), jnp.int32)))
        return x, steps

    # In real coordinates a Hermitian map is symmetric, so the solve is its own transpose.
    pack, unpack = _real_coordinates(b)
    start = jax.tree.map(jnp.zeros_like, b) if x0 is None else x0
    x, steps = jax.lax.custom_linear_solve(
        lambda v: pack(a(unpack(v))), pack(b), lambda a, b: solve(a, b, pack(start)), symmetric=True, has_aux=True
    )
    return unpack(x), steps


def _real_coordinates(like: Any) -> tuple[LinearMap, LinearMap]:
    """To a list of real arrays, complex ones as their real and imaginary parts, and back."""
    leaves, structure = jax.tree.flatten(like)
    kinds = [jnp.iscomplexobj(leaf) for leaf in leaves]

    def pack(tree):
        return [(v.real, v.imag) if kind else v for kind, v in zip(kinds, jax.tree.leaves(tree), strict=True)]

    def unpack(parts):
        whole = [jax.lax.complex(*part) if kind else part for kind, part in zip(kinds, parts, strict=True)]
        return jax.tree.unflatten(structure, whole)

    return pack, unpack


def power_iteration(a: LinearMap, x_like: Array, key: PRNGKey, *, steps: int = 30) -> Float[Array, ""]:
    """The largest eigenvalue of a Hermitian positive semi-definite A, by ``steps`` power iterations.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> a = lambda v: jnp.array([1.0, 3.0]) * v
        >>> round(power_iteration(a, jnp.zeros(2), jax.random.key(0)).item(), 3)
        3.0
    """
    x = jax.random.normal(key, x_like.shape, x_like.dtype)

    def iterate(_, x):
        ax = a(x)
        return ax / norm(ax)

    x = jax.lax.fori_loop(0, steps, iterate, x / norm(x))
    return vdot(x, a(x)).real
