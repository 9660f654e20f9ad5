"""Order statistics inside a mask, without NaN in what is sorted: some releases of jaxlib misplace it on GPUs."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def quantile(x: Array, inside: Array, q: ArrayLike) -> Float[Array, "..."]:
    """The q quantiles of the values inside a mask, linearly interpolated as NumPy's are.

    Args:
        x: any shape.
        inside: which values count, the shape of x, boolean.
        q: in [0, 1], a number or an array.

    Returns:
        The shape of q; NaN if nothing is inside or a NaN is.

    Examples:
        >>> x = jnp.array([3.0, jnp.nan, 1.0, 2.0])
        >>> quantile(x, ~jnp.isnan(x), 0.25).item()
        1.5
    """
    ordered = jnp.sort(jnp.where(inside, x, jnp.inf).ravel())
    count = jnp.sum(inside)
    # half precision cannot count the pixels of an image
    position = jnp.asarray(q, jnp.promote_types(ordered.dtype, jnp.float32)) * (count - 1)
    low = jnp.floor(position)
    share = position - low
    last = jnp.maximum(count - 1, 0)
    low, high = (jnp.clip(at, 0, last).astype(int) for at in (low, jnp.ceil(position)))
    value = (ordered[low] * (1 - share) + ordered[high] * share).astype(ordered.dtype)
    return jnp.where((count == 0) | jnp.any(inside & jnp.isnan(x)), jnp.nan, value)
