"""L-BFGS with the fixed-step rule of torch.optim.LBFGS, as an optax transformation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from rnst_jax.types import Scalar


class TorchLbfgsState(NamedTuple):
    """Memory of `torch_lbfgs`: curvature pairs in a ring, every s . y of them, the last gradient and the last step."""

    count: Int[Array, ""]
    pairs: Int[Array, ""]
    steps: Float[Array, "history n"]
    changes: Float[Array, "history n"]
    curvature: Float[Array, "history history"]
    scale: Float[Array, ""]
    gradient: Float[Array, " n"]
    step: Float[Array, " n"]


def torch_lbfgs(
    learning_rate: Scalar = 0.4, history: int = 100, *, min_curvature: float = 1e-10, min_slope: float = 1e-9
) -> optax.GradientTransformation:
    """L-BFGS without a line search, by the rule that torch.optim.LBFGS uses by default.

    The direction is d = -H g with the two-loop recursion over the last ``history`` pairs s = (last step),
    y = g - g_last, kept only where y.s > ``min_curvature``; H_0 = (y.s / y.y) I. The step is ``learning_rate`` d,
    the first one also times min(1, 1 / ||g||_1). A direction with g.d > -``min_slope`` is not taken.

    The step enters the pair as it was computed: what a projection took off between two updates is not seen, as in
    the published method, which clamps the image in place.

    Args:
        learning_rate: the fixed step length.
        history: number of pairs kept (static); memory is 2 x history x size.
        min_curvature: smallest y.s of a pair that is kept.
        min_slope: smallest descent that is taken.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4; PyTorch's documentation of LBFGS.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> optimiser, x = torch_lbfgs(1.0), jnp.array([3.0, -2.0])
        >>> state, f = optimiser.init(x), lambda x: jnp.sum(jnp.array([1.0, 10.0]) * x**2)
        >>> for _ in range(20):
        ...     updates, state = optimiser.update(jax.grad(f)(x), state, x)
        ...     x = optax.apply_updates(x, updates)
        >>> bool(f(x) < 1e-6)
        True
    """

    def init(params):
        flat, _ = ravel_pytree(params)
        ring = jnp.zeros((history, flat.size), flat.dtype)
        zero = jnp.zeros((), jnp.int32)
        one = jnp.ones((), flat.dtype)
        return TorchLbfgsState(zero, zero, ring, ring, jnp.eye(history, dtype=flat.dtype), one, 0 * flat, 0 * flat)

    def update(updates, state, params=None):
        del params
        g, unravel = ravel_pytree(updates)
        d, state = _direction(state, g, min_curvature)
        first = jnp.minimum(1.0, 1.0 / jnp.abs(g).sum())
        rate = learning_rate * jnp.where(state.count == 0, first, 1.0)
        step = jnp.where(_dot(g, d) > -min_slope, 0.0, rate) * d
        return unravel(step), state._replace(count=state.count + 1, gradient=g, step=step)

    return optax.GradientTransformation(init, update)


def _dot(a: Array, b: Array) -> Array:
    """A product in full precision: accelerators would round its factors, and curvature is a small difference."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def _direction(state: TorchLbfgsState, g: Array, min_curvature: float) -> tuple[Array, TorchLbfgsState]:
    """-H g, and the memory with the pair of the last step, if that has curvature.

    The loops of the recursion are triangular systems, so the long vectors are read in a few matrix products and not one
    after the other. Pairs in the order from the newest, R_ij = s_i . y_j and L its lower triangle: the first loop,
    a_i = s_i . (g - sum_{j < i} a_j y_j) / R_ii, is L a = S g; with q = H_0 (g - Y^T a) the second, whose result is
    q + S^T c, is L^T c = diag(R) a - Y q. Slots that were never filled hold zeros, and 1 in R_ii, and change nothing.

    The rings are read as they were, with the new pair beside them, and written after that, which the condition on the
    direction tells XLA: it would copy them whole in every step if it could write them before.
    """
    history, s, y = len(state.steps), state.step, g - state.gradient
    ys = _dot(y, s)
    keep = (state.count > 0) & (ys > min_curvature)
    at = state.pairs % history
    new = (jnp.arange(history) == at) & keep

    def products(ring: Array, pair: Array, x: Array) -> Array:
        return jnp.where(new, _dot(pair, x), _dot(ring, x))

    def combination(weights: Array, ring: Array, pair: Array) -> Array:
        return _dot(jnp.where(new, 0, weights), ring) + jnp.sum(jnp.where(new, weights, 0)) * pair

    def put(ring: Array, pair: Array) -> Array:
        return ring.at[at].set(jnp.where(written, pair, ring[at]))

    curvature = jnp.where(new[:, None], products(state.changes, y, s), state.curvature)
    curvature = jnp.where(new, products(state.steps, s, y)[:, None], curvature)
    scale = jnp.where(keep, ys / jnp.where(keep, _dot(y, y), 1.0), state.scale)
    pairs = state.pairs + keep
    order = (pairs - 1 - jnp.arange(history)) % history  # its own inverse
    r = curvature[order][:, order]
    a = solve_triangular(r, products(state.steps, s, g)[order], lower=True)
    q = scale * (g - combination(a[order], state.changes, y))
    c = solve_triangular(r, jnp.diag(r) * a - products(state.changes, y, q)[order], lower=True, trans=1)
    direction = -(q + combination(c[order], state.steps, s))
    written = keep & jnp.isfinite(direction[0])
    rings = {"steps": put(state.steps, s), "changes": put(state.changes, y)}
    return direction, state._replace(pairs=pairs, curvature=curvature, scale=scale, **rings)
