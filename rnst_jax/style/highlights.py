"""How far the brightest of an image lies above the rest: spread as in a style, or held back."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.order import quantile
from rnst_jax.style.losses import pixels_inside
from rnst_jax.types import Image, Scalar

_RANKS = (0.995, 0.999, 1.0)
_ENDS = (0.995, 1.0)
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


def stand_out(image: Image, mask: Image | None = None) -> Float[Array, ""]:
    """The brightest of an image inside its mask, as a multiple of its 99.5 percentile; not finite if that is 0 or none.

    Examples:
        >>> round(float(stand_out(jnp.arange(201.0)[None])), 4)
        1.005
    """
    b, top = quantile(image, pixels_inside(image, mask), jnp.asarray(_ENDS))
    return top / b


def hold_highlights(x: Image, mask: Image | None, most: Scalar, share: Scalar = 1.0) -> Image:
    """x up to b, and b + k (x - b) above it, k = min(1, (most - 1) b / (X - b)): a rising map.

    b is the 99.5 percentile of x inside its mask and X its brightest, which becomes ``most`` times b at most. If that
    is the larger of `stand_out` of the scan and of the style, a lesion that stands out in the scan is not dimmed for a
    style without one.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; without a pixel, x is returned; None takes the whole image.
        most: 1 or more; x is returned if it is not finite.
        share: of the change; 0 leaves x as it is.

    Examples:
        >>> x = jnp.linspace(0.0, 1.0, 1001)[None]
        >>> steep = jnp.where(x > 0.995, 0.995 + 9 * (x - 0.995), x)
        >>> out = hold_highlights(steep, None, stand_out(x))
        >>> [round(v, 3) for v in (*steep[0, ::500].tolist(), *out[0, ::500].tolist())]
        [0.0, 0.5, 1.04, 0.0, 0.5, 1.0]
    """
    b, top = quantile(x, pixels_inside(x, mask), jnp.asarray(_ENDS))
    k = (most - 1) * b / jnp.maximum(top - b, _LEAST)
    k = jnp.where(jnp.isfinite(k), jnp.clip(k, 0, 1), 1)
    return jnp.where(x > b, x + share * (k - 1) * (x - b), x).astype(x.dtype)
