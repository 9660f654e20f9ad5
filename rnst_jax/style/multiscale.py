"""Optimise an image on several scales at once: a preconditioner that wraps any optax transformation."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

Levels = list[Array]


class MultiscaleState(NamedTuple):
    """The inner transformation's state on the pyramid."""

    inner: Any


def multiscale(inner: optax.GradientTransformation, factors: tuple[int, ...] = (1, 2, 4, 8)) -> Any:
    """Run ``inner`` on the levels of x = sum_f U_f z_f, where U_f enlarges an image f times by linear interpolation.

    The gradient of level f is U_f^T g and the image's update is sum_f U_f (update of z_f). A gradient step on single
    pixels moves contrast slowly, since many pixels must agree; on a coarse level one number moves them all.
    The reparametrisation is linear, so no variable but x needs to be kept and x can be projected between steps.

    Args:
        inner: any optax transformation; it sees a list of images, one per factor.
        factors: by how much each level is coarser than the image (static). Levels are ceil(size / f).

    Returns:
        An optax transformation for images (H, W) or (H, W, C).

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> optimiser, x = multiscale(optax.sgd(0.1), (1, 4)), jnp.zeros((8, 8))
        >>> updates, _ = optimiser.update(jnp.ones((8, 8)), optimiser.init(x), x)
        >>> round(updates.mean().item(), 2)  # -0.1 from the pixels, -0.1 * 16 from the coarse level
        -1.7
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: Any) -> MultiscaleState:
        return MultiscaleState(inner.init([jnp.zeros_like(level) for level in enlarging(params, factors)[1](params)]))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        enlarge, levels = enlarging(updates, factors)
        steps, inner_state = inner.update(levels(updates), state.inner)  # type: ignore[arg-type]
        return enlarge(steps), MultiscaleState(inner_state)  # type: ignore[arg-type]

    return optax.GradientTransformationExtraArgs(init, update)


def enlarging(like: Array, factors: Sequence[int]) -> tuple[Callable[[Levels], Array], Callable[[Array], Levels]]:
    """z -> sum_f U_f z_f for images such as ``like``, and its transpose g -> U_f^T g per level."""
    shape = like.shape

    def enlarge(levels: Levels) -> Array:
        enlarged = [jax.image.resize(z, shape, "linear", antialias=False) for z in levels]
        return jnp.sum(jnp.stack(enlarged), axis=0)

    levels = [jax.ShapeDtypeStruct((-(-shape[0] // f), -(-shape[1] // f), *shape[2:]), like.dtype) for f in factors]
    transpose = jax.linear_transpose(enlarge, levels)
    return enlarge, lambda g: transpose(g)[0]
