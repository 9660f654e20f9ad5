"""The brightest of an image spread as far above the rest as in a style."""

import jax.numpy as jnp

from rnst_jax.order import quantile
from rnst_jax.types import Image, Scalar

_RANKS = (0.995, 0.999, 1.0)
_LEAST = 1e-6
"""Spreads below it are none, and nothing is divided by them."""


def spread_highlights(x: Image, mask: Image, style: Image, style_mask: Image, share: Scalar = 1.0) -> Image:
    """x up to b, and b + (1 + share (k - 1)) (x - b) above it, k = max(1, min(S / s, T / t)).

    b is the 99.5 percentile of x inside its mask; s and t are how far its 99.9 percentile and its brightest lie above
    b, as shares of b; S and T are the same of the style. Thin bright tissue, such as fat and vessels, is blurred at low
    resolution and so stands out less at low field. What stands out more than in the style is left as it is, for it may
    be a lesion; and the brightest never stands out more than the style's.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; without a pixel, x is returned.
        style: (h, w) of somebody else.
        style_mask: as ``mask``.
        share: 0 leaves x as it is.

    Examples:
        >>> x, inside = jnp.linspace(0.0, 1.0, 1001)[None], jnp.ones((1, 1001))
        >>> style = jnp.where(x > 0.995, 0.995 + 3 * (x - 0.995), x)
        >>> out = spread_highlights(x, inside, style, inside)
        >>> [round(v, 3) for v in out[0, jnp.array([500, 995, 1000])].tolist()]
        [0.5, 0.995, 1.01]
    """
    b, *above = quantile(x, mask > 0.5, jnp.asarray(_RANKS))
    d, *wanted = quantile(style, style_mask > 0.5, jnp.asarray(_RANKS))
    s, t = (jnp.maximum(q - b, _LEAST) / b for q in above)
    S, T = (jnp.maximum(q - d, _LEAST) / d for q in wanted)
    k = jnp.minimum(S / s, T / t)
    k = jnp.where(jnp.isfinite(k), jnp.maximum(k, 1), 1)
    return jnp.where(x > b, x + share * (k - 1) * (x - b), x).astype(x.dtype)
