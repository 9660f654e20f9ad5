"""L-BFGS with the fixed-step rule of torch.optim.LBFGS, as an optax transformation."""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from rnst_jax.style.curvature import Pairs, direction, dot, no_pairs
from rnst_jax.types import Scalar


class TorchLbfgsState(NamedTuple):
    """Memory of `torch_lbfgs`: curvature pairs, the last gradient and the last step."""

    count: Int[Array, ""]
    pairs: Pairs
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
        return TorchLbfgsState(jnp.zeros((), jnp.int32), no_pairs(history, flat), 0 * flat, 0 * flat)

    def update(updates, state, params=None):
        del params
        g, unravel = ravel_pytree(updates)
        s, y = state.step, g - state.gradient
        keep = (state.count > 0) & (dot(y, s) > min_curvature)
        d, pairs = direction(state.pairs, g, s, y, keep)
        first = jnp.minimum(1.0, 1.0 / jnp.abs(g).sum())
        rate = learning_rate * jnp.where(state.count == 0, first, 1.0)
        step = jnp.where(dot(g, d) > -min_slope, 0.0, rate) * d
        return unravel(step), TorchLbfgsState(state.count + 1, pairs, g, step)

    return optax.GradientTransformation(init, update)
