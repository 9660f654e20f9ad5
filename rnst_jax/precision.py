"""Half precision is for storing and for matrix products; what is summed, sorted or transformed is wider."""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array


def wide(x: ArrayLike, least: Any = jnp.float32) -> Array:
    """An array in a precision that holds both its own and ``least``; integers become numbers of that.

    Examples:
        >>> wide(jnp.ones(1, jnp.bfloat16)).dtype.name, wide(jnp.ones(1), jnp.complex64).dtype.name
        ('float32', 'complex64')
    """
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, least))
