"""The darkest and the brightest tissue of an image brought to those of a style."""

import jax.numpy as jnp
from jaxtyping import Array

from rnst_jax.style.losses import quantiles
from rnst_jax.types import Image, Scalar

_DARKER = slice(10, 50)
"""Of 100 quantiles."""


def align_endpoints(x: Image, mask: Image | None, style: Image, style_mask: Image | None, share: Scalar = 1.0) -> Image:
    """x + share (k(x) - x) with k(x) = (1 - s) x d / b + s h(x): a rising map from endpoints to endpoints.

    a and b are the 0.5 and 99.5 percentiles of x inside its mask, c and d those of the style. h is piecewise linear
    with h(0) = 0, h(a) = min(c, a d / b) and h(b) = d; beyond b its last line goes on. At low resolution no pixel holds
    fluid alone, so that the darkest of a T1w brain is brighter than at high resolution by an amount that no smooth map
    of intensities, fitted to all tissues, removes. Low resolution narrows the range between them and never widens it,
    so h only widens it: a style's slice may show less fluid. But the darkest may be no tissue, or low field may have
    narrowed nothing. So h counts as far as the darker tissues agree: s, from 0 to 1, is that with which the mean of
    the 10 to 50 percentiles of k(x) is nearest to the style's.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; None takes the whole image.
        style: (h, w) of somebody else, which shows the same tissues.
        style_mask: as ``mask``.
        share: 0 leaves x as it is.

    Examples:
        >>> x = jnp.array([[0.3, 0.5, 0.7]])
        >>> [round(v, 2) for v in align_endpoints(x, None, jnp.array([[0.1, 0.5, 0.9]]), None)[0].tolist()]
        [0.1, 0.5, 0.9]
    """
    own, wanted = quantiles(x, mask, 100), quantiles(style, style_mask, 100)
    # where there is no range, nothing is stretched
    least = 1e-4
    (a, b), (c, d) = own[jnp.array([0, -1])], wanted[jnp.array([0, -1])]
    scale = d / jnp.maximum(b, least)
    c = jnp.minimum(c, a * scale)
    slope = jnp.where(b - a > least, (d - c) / jnp.maximum(b - a, least), 1.0)

    def widened(x: Array) -> Array:
        return jnp.where(x < a, x * c / jnp.maximum(a, least), c + (x - a) * slope)

    plain, wide = (jnp.mean(values[_DARKER]) for values in (own * scale, widened(own)))
    s = jnp.clip((plain - jnp.mean(wanted[_DARKER])) / jnp.maximum(plain - wide, least), 0, 1)
    moved = (1 - s) * scale * x + s * widened(x)
    return (x + share * (moved - x)).astype(x.dtype)
