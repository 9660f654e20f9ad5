"""The brightest of an image spread as far above the rest as in a style."""

import jax.numpy as jnp

from rnst_jax.order import quantile
from rnst_jax.style.losses import pixels_inside
from rnst_jax.types import Image, Scalar

_RANKS = (0.995, 0.999, 1.0)
_LEAST = 1e-6
"""A spread below it is none, and nothing is divided by it."""


def spread_highlights(
    x: Image, mask: Image | None, style: Image, style_mask: Image | None, share: Scalar = 1.0
) -> Image:
    """x up to b, and min(b + k (x - b), max(x, (1 + T) b)) above it, k = max(1, S / s).

    b is the 99.5 percentile of x inside its mask; s is how far its 99.9 percentile lies above b, as a share of b. S and
    T are how far the 99.9 percentile and the brightest of the style lie above its 99.5 percentile. Thin bright tissue,
    such as fat and vessels, is blurred at low resolution and so stands out less at low field. What stands out more than
    in the style is left as it is, for it may be a lesion; and nothing is made to stand out more than the brightest of
    the style.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; without a pixel, x is returned; None takes the whole image.
        style: (h, w) of somebody else.
        style_mask: as ``mask``.
        share: of the change; 0 leaves x as it is.

    Examples:
        >>> x, inside = jnp.linspace(0.0, 1.0, 1001)[None], jnp.ones((1, 1001))
        >>> style = jnp.where(x > 0.995, 0.995 + 3 * (x - 0.995), x)
        >>> out = spread_highlights(x, inside, style, inside)
        >>> [round(v, 3) for v in out[0, jnp.array([500, 995, 1000])].tolist()]
        [0.5, 0.995, 1.01]
    """
    b, high = quantile(x, pixels_inside(x, mask), jnp.asarray(_RANKS[:2]))
    d, wanted, brightest = quantile(style, pixels_inside(style, style_mask), jnp.asarray(_RANKS))
    k = (wanted - d) / d * b / jnp.maximum(high - b, _LEAST)
    k = jnp.where(jnp.isfinite(k), jnp.maximum(k, 1), 1)
    # a style without a head has no brightest
    spread = jnp.minimum(x + (k - 1) * (x - b), jnp.fmax(x, b * brightest / d))
    return jnp.where(x > b, x + share * (spread - x), x).astype(x.dtype)
