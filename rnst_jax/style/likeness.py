"""Whether a style shows the same tissues in about the same shares as an image, so that their intensities compare."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.style.losses import quantiles
from rnst_jax.types import Batch, Image, Scalar

_COUNT = 100
"""Of quantiles."""
_LEAST = 1e-6
"""Where the brightest is 0, nothing is divided by it."""


def likeness(
    x: Image, mask: Image | None, style: Image, style_mask: Image | None, strictness: Scalar = 10.0
) -> Float[Array, ""]:
    """How far a style's intensities can be those of x: clip(2 - s w, 0, 1), w the distance between their distributions.

    w = mean_k | q_k / q_n - p_k / p_n |, q_k and p_k the k-th of n = 100 quantiles of x and of the style inside their
    masks: the 1-Wasserstein distance in shares of the brightest. A slice along the fissure between the hemispheres,
    say, is mostly dark, and to give its distribution to a slice of white matter would darken tissue that is bright in
    both scans.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; None takes the whole image.
        style: (h, w) of somebody else.
        style_mask: as ``mask``.
        strictness: s: 1 up to a distance of 1 / s, 0 from 2 / s on; with 0 every style is alike.

    Returns:
        Between 0 and 1; NaN if an image holds NaN inside its mask.

    Examples:
        >>> x = jnp.array([[0.4, 0.6, 0.8]])
        >>> likeness(x, None, 1.2 * x, None).item(), likeness(x, None, jnp.array([[0.0, 0.1, 0.9]]), None).item()
        (1.0, 0.0)
    """
    distance = jnp.mean(jnp.abs(_shape(x, mask) - _shape(style, style_mask)))
    return jnp.where(jnp.asarray(strictness) > 0, jnp.clip(2 - strictness * distance, 0, 1), 1.0)


def most_alike(
    images: Batch,
    masks: Batch,
    styles: Batch,
    style_masks: Batch,
    first: Int[Array, " images"],
    strictness: float = 10.0,
) -> Int[Array, " images"]:
    """For every image the number of its style: the first choice where that is fully alike, else the most alike of all.

    Args:
        images: (B, H, W), 0 or more.
        masks: above one half inside the heads.
        styles: (S, h, w), those of one scan, say.
        style_masks: as ``masks``.
        first: (B,) numbers of the styles that are wanted, by their position in the head.
        strictness: see `likeness`, which is that of an image that is not denoised.

    Returns:
        (B,) integers; the first choice also for an image without a head.

    Examples:
        >>> x = jnp.array([[[0.4, 0.6, 0.8]], [[0.2, 0.3, 0.4]]])
        >>> styles = jnp.array([[[0.0, 0.1, 0.9]], [[0.5, 0.7, 0.9]]])
        >>> most_alike(x, jnp.ones_like(x), styles, jnp.ones_like(x), jnp.array([0, 1])).tolist()
        [1, 1]
    """
    own, other = (jax.lax.map(lambda pair: _shape(*pair), pair) for pair in ((images, masks), (styles, style_masks)))
    distances = jnp.abs(own[:, None] - other).mean(-1)
    wanted = distances[jnp.arange(len(own)), first]
    return jnp.where(strictness * wanted > 1, jnp.nanargmin(distances, axis=1), first)


def _shape(x: Image, mask: Image | None) -> Float[Array, " quantiles"]:
    """The quantiles as shares of the brightest."""
    q = quantiles(x, mask, _COUNT)
    return q / jnp.maximum(q[-1], _LEAST)
