"""The darkest and the brightest tissue of an image brought to those of a style."""

import jax.numpy as jnp

from rnst_jax.style.losses import quantiles
from rnst_jax.types import Image, Scalar


def align_endpoints(x: Image, mask: Image | None, style: Image, style_mask: Image | None, share: Scalar = 1.0) -> Image:
    """x + share (h(x) - x), h rising and piecewise linear with h(0) = 0, h(a) = min(c, a d / b) and h(b) = d.

    a and b are the 0.5 and 99.5 percentiles of x inside its mask, c and d those of the style; beyond b the line from
    (a, h(a)) to (b, d) goes on. At low resolution no pixel holds fluid alone, so that the darkest of a T1w brain is
    brighter than at high resolution by an amount that no smooth map of intensities, fitted to all tissues, removes.
    Low resolution narrows the range between them and never widens it: where the style's is the narrower, as its
    slice may show less fluid, x is scaled by d / b and no more.

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
    a, b = quantiles(x, mask, 100)[jnp.array([0, -1])]
    c, d = quantiles(style, style_mask, 100)[jnp.array([0, -1])]
    # where there is no range, nothing is stretched
    least = 1e-4
    c = jnp.minimum(c, a * d / jnp.maximum(b, least))
    below = x * c / jnp.maximum(a, least)
    above = c + (x - a) * jnp.where(b - a > least, (d - c) / jnp.maximum(b - a, least), 1.0)
    return (x + share * (jnp.where(x < a, below, above) - x)).astype(x.dtype)
