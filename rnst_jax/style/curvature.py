"""The memory of L-BFGS: curvature pairs, and the direction that follows from them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int


class Pairs(NamedTuple):
    """Curvature pairs of `direction`: steps s and changes of the gradient y, in a ring, and every s_i . y_j of them."""

    count: Int[Array, ""]
    steps: Float[Array, "history n"]
    changes: Float[Array, "history n"]
    products: Float[Array, "history history"]
    scale: Float[Array, ""]


def no_pairs(history: int, like: Float[Array, " n"]) -> Pairs:
    """An empty memory for vectors such as ``like``."""
    ring = jnp.zeros((history, like.size), like.dtype)
    return Pairs(jnp.zeros((), jnp.int32), ring, ring, jnp.eye(history, dtype=like.dtype), jnp.ones((), like.dtype))


def dot(a: Array, b: Array) -> Array:
    """A product in full precision: accelerators would round its factors, and curvature is a small difference."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def direction(
    pairs: Pairs,
    g: Float[Array, " n"],
    s: Float[Array, " n"],
    y: Float[Array, " n"],
    keep: Bool[Array, ""],
    metric: Callable[[Array], Array] = lambda v: v,
) -> tuple[Float[Array, " n"], Pairs]:
    """d = -H g by the two-loop recursion, and the memory with the pair (s, y), if it is to be kept.

    H_0 = (y . s / y . M y) M with the newest pair kept; M is the identity for plain L-BFGS.

    The loops of the recursion are triangular systems, so the long vectors are read in a few matrix products and not one
    after the other. Pairs in the order from the newest, R_ij = s_i . y_j and L its lower triangle: the first loop,
    a_i = s_i . (g - sum_{j < i} a_j y_j) / R_ii, is L a = S g; with q = H_0 (g - Y^T a) the second, whose result is
    q + S^T c, is L^T c = diag(R) a - Y q. Slots that were never filled hold zeros, and 1 in R_ii, and change nothing.

    The rings are read as they were, with the new pair beside them, and written after that, which the condition on the
    direction tells XLA: it would copy them whole in every step if it could write them before.

    Args:
        pairs: the memory, of `no_pairs` at first.
        g: the gradient.
        s: the newest step.
        y: the change of the gradient along it.
        keep: whether this pair counts; y . s must be positive then.
        metric: v -> M v, symmetric and positive definite.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> g, s = jnp.array([2.0, 6.0]), jnp.array([1.0, 3.0])
        >>> d, _ = direction(no_pairs(2, g), g, s, 2 * s, jnp.array(True))  # f = |x|^2: its minimum is half of g away
        >>> d.tolist()
        [-1.0, -3.0]
    """
    history, ys = len(pairs.steps), dot(y, s)
    at = pairs.count % history
    new = (jnp.arange(history) == at) & keep

    def products(ring: Array, pair: Array, x: Array) -> Array:
        return jnp.where(new, dot(pair, x), dot(ring, x))

    def combination(weights: Array, ring: Array, pair: Array) -> Array:
        return dot(jnp.where(new, 0, weights), ring) + jnp.sum(jnp.where(new, weights, 0)) * pair

    def put(ring: Array, pair: Array) -> Array:
        return ring.at[at].set(jnp.where(written, pair, ring[at]))

    all_products = jnp.where(new[:, None], products(pairs.changes, y, s), pairs.products)
    all_products = jnp.where(new, products(pairs.steps, s, y)[:, None], all_products)
    scale = jnp.where(keep, ys / jnp.where(keep, dot(y, metric(y)), 1.0), pairs.scale)
    count = pairs.count + keep
    order = (count - 1 - jnp.arange(history)) % history  # its own inverse
    r = all_products[order][:, order]
    a = solve_triangular(r, products(pairs.steps, s, g)[order], lower=True)
    q = scale * metric(g - combination(a[order], pairs.changes, y))
    c = solve_triangular(r, jnp.diag(r) * a - products(pairs.changes, y, q)[order], lower=True, trans=1)
    d = -(q + combination(c[order], pairs.steps, s))
    written = keep & jnp.isfinite(d[0])
    return d, Pairs(count, put(pairs.steps, s), put(pairs.changes, y), all_products, scale)
