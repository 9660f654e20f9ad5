"""The darkest and the brightest tissue of an image brought to those of a style."""

import jax.numpy as jnp

from rnst_jax.style.losses import quantiles
from rnst_jax.types import Image, Scalar

_DARKER = slice(10, 50)
"""Of 100 quantiles."""


def align_endpoints(x: Image, mask: Image | None, style: Image, style_mask: Image | None, share: Scalar = 1.0) -> Image:
    """x + share (h(x) - x), h rising and piecewise linear with h(0) = 0, h(a) = e and h(b) = d.

    a and b are the 0.5 and 99.5 percentiles of x inside its mask, c and d those of the style; beyond b the line from
    (a, e) to (b, d) goes on. At low resolution no pixel holds fluid alone, so that the darkest of a T1w brain is
    brighter than at high resolution by an amount that no smooth map of intensities, fitted to all tissues, removes.
    Low resolution narrows the range between them and never widens it: a style's slice may show less fluid, so e is
    at most a d / b. But the darkest may be no tissue, or low field may have narrowed nothing. So e, from
    min(c, a d / b) to a d / b, is that with which the mean of the 10 to 50 percentiles of h(x) is nearest to the
    style's.

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
    (a, b), (c, d) = own[jnp.array([0, -1])], wanted[jnp.array([0, -1])]
    # where there is no range, nothing is stretched
    least = 1e-4
    has_range, width = b - a > least, jnp.maximum(b - a, least)
    scale = d / jnp.maximum(b, least)
    # what e takes from a d / b, the mean of the darker tissues loses by this share
    darker = jnp.mean(own[_DARKER])
    share_of_e = jnp.maximum(jnp.where(has_range, (b - darker) / width, 1.0), least)
    e = a * scale - (scale * darker - jnp.mean(wanted[_DARKER])) / share_of_e
    e = jnp.clip(e, jnp.minimum(c, a * scale), a * scale)
    below = x * e / jnp.maximum(a, least)
    above = e + (x - a) * jnp.where(has_range, (d - e) / width, 1.0)
    return (x + share * (jnp.where(x < a, below, above) - x)).astype(x.dtype)
