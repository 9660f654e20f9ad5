"""Statistics of features and images inside a mask."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.precision import wide
from rnst_jax.style.losses import absolute, quantiles
from rnst_jax.types import Image, Scalar


def mean_and_deviation(
    features: Float[Array, "h w c"], mask: Float[Array, "h w"] | None = None
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """m_c = sum_p w_p F_pc / sum_p w_p and sqrt(sum_p w_p (F_pc - m_c)^2 / sum_p w_p), per channel.

    Args:
        features: features of one image at one tap.
        mask: weights w in [0, 1] of the pixels; None takes all.

    Examples:
        >>> import jax.numpy as jnp
        >>> [v.tolist() for v in mean_and_deviation(jnp.array([[[1.0], [3.0]]]))]
        [[2.0], [1.0]]
    """
    f = wide(features.reshape(-1, features.shape[-1]))
    w = jnp.ones(len(f), f.dtype) if mask is None else mask.reshape(-1).astype(f.dtype)
    w = w / jnp.maximum(w.sum(), 1e-6)
    mean = w @ f
    variance = w @ jnp.square(f - mean)
    # the floor keeps the derivative of a constant channel finite
    return mean, jnp.sqrt(jnp.maximum(variance, 1e-12))


def projections(channels: int, count: int, seed: int) -> Float[Array, "channels count"]:
    """Unit vectors drawn evenly over the sphere, the same for the same numbers.

    Examples:
        >>> projections(3, 5, seed=0).shape
        (3, 5)
    """
    vectors = jax.random.normal(jax.random.key(seed), (channels, count), jnp.float32)
    return vectors / jnp.linalg.norm(vectors, axis=0)


def sorted_projections(
    features: Float[Array, "h w c"],
    mask: Float[Array, "h w"] | None,
    vectors: Float[Array, "c count"],
    quantile_count: int,
) -> Float[Array, "count quantiles"]:
    """`quantiles` of the features along each vector, over the pixels whose mask is above one half.

    Examples:
        >>> import jax.numpy as jnp
        >>> sorted_projections(jnp.array([[[4.0], [1.0], [3.0], [2.0]]]), None, jnp.ones((1, 1)), 2).tolist()
        [[1.75, 3.25]]
    """
    along = jnp.einsum("hwc,cn->nhw", features, vectors, precision=jax.lax.Precision.HIGHEST)
    return jax.vmap(lambda image: quantiles(image, mask, quantile_count))(along)


def variation(image: Array, mask: Image | None = None, smoothing: Scalar = 0.0) -> Float[Array, ""]:
    """mean_p sqrt(|grad x|_p^2 + s^2) - s with forward differences, 0 across the last row and column.

    Args:
        image: (H, W) or (H, W, C), any range; channels are averaged.
        mask: weights in [0, 1] of the pixels; None takes all.
        smoothing: s; 0 is the total variation per pixel.

    Examples:
        >>> import jax.numpy as jnp
        >>> variation(jnp.array([[0.0, 3.0], [4.0, 7.0]])).item()
        3.0
    """
    x = image[..., None] if image.ndim == 2 else image
    rows = jnp.pad(x[1:] - x[:-1], ((0, 1), (0, 0), (0, 0)))
    cols = jnp.pad(x[:, 1:] - x[:, :-1], ((0, 0), (0, 1), (0, 0)))
    length = jnp.sqrt(jnp.maximum(rows**2 + cols**2, 1e-24))
    per_pixel = jnp.mean(absolute(length, smoothing), axis=-1)
    if mask is None:
        return jnp.mean(per_pixel)
    return jnp.sum(mask * per_pixel) / jnp.maximum(jnp.sum(mask), 1e-6)
