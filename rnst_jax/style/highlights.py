"""How far the brightest of an image lies above the rest: spread as in a style, or held back."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.order import quantile
from rnst_jax.style.losses import pixels_inside
from rnst_jax.types import Image, Scalar

_RANKS = (0.995, 0.999, 1.0)
_CUT_OFF = 0.998
"""An image is cut off if what has this rank is its brightest; of clipped spikes there are fewer."""
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


def highlight_limit(scan: Image, mask: Image | None, style: Image, style_mask: Image | None = None) -> Float[Array, ""]:
    """How far the brightest of a reconstruction may stand out: max(S, Y), as a multiple of its 99.5 percentile.

    S and Y are how far they do so in the style and in the scan, so a lesion that stands out in the scan is not dimmed
    for a style without one. The limit is infinite if the scan was cut off at its brightest, that is if its 99.8
    percentile is its brightest: nobody knows then how far that stood out. It is not finite either if a head is missing.

    Args:
        scan: (H, W), in any unit, air at 0.
        mask: above one half inside the head; None takes the whole image.
        style: (h, w) of somebody else, in any unit.
        style_mask: as ``mask``.

    Examples:
        >>> scan = jnp.arange(1001.0)[None]
        >>> [round(float(highlight_limit(x, None, scan, None)), 3) for x in (scan, 2 * scan**2, scan.clip(0, 998))]
        [1.005, 1.01, inf]
    """
    b, cut, top = quantile(scan, pixels_inside(scan, mask), jnp.asarray((_RANKS[0], _CUT_OFF, 1.0)))
    d, brightest = quantile(style, pixels_inside(style, style_mask), jnp.asarray(_RANKS[::2]))
    return jnp.where(cut < top, jnp.maximum(top / b, brightest / d), jnp.inf)


def hold_highlights(x: Image, mask: Image | None, limit: Scalar, share: Scalar = 1.0) -> Image:
    """x up to b, and b + k (x - b) above it, k = min(1, (limit - 1) b / (X - b)): a rising map.

    b is the 99.5 percentile of x inside its mask and X its brightest, which becomes ``limit`` times b at most.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; without a pixel, x is returned; None takes the whole image.
        limit: 1 or more, see `highlight_limit`; x is returned if it is not finite.
        share: of the change; 0 leaves x as it is.

    Examples:
        >>> x = jnp.linspace(0.0, 1.0, 1001)[None]
        >>> steep = jnp.where(x > 0.995, 0.995 + 9 * (x - 0.995), x)
        >>> out = hold_highlights(steep, None, highlight_limit(x, None, x))
        >>> [round(v, 3) for v in (*steep[0, ::500].tolist(), *out[0, ::500].tolist())]
        [0.0, 0.5, 1.04, 0.0, 0.5, 1.0]
    """
    b, top = quantile(x, pixels_inside(x, mask), jnp.asarray(_RANKS[::2]))
    k = (limit - 1) * b / jnp.maximum(top - b, _LEAST)
    k = jnp.where(jnp.isfinite(k), jnp.clip(k, 0, 1), 1)
    return jnp.where(x > b, x + share * (k - 1) * (x - b), x).astype(x.dtype)
