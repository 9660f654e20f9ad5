"""The darkest, a middle and the brightest tissue of an image brought to those of a style."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.physics.contrast import tissue_centres
from rnst_jax.style.losses import quantiles
from rnst_jax.types import Image, Scalar

_RIM = 3
"""Pixels below the outline, which are part air and no tissue of their own."""
_LEAST = 1e-4
"""Ranges below it are none, and nothing is stretched."""


def align_endpoints(x: Image, mask: Image | None, style: Image, style_mask: Image | None, share: Scalar = 1.0) -> Image:
    """x + share (h(x) - x), h rising and piecewise linear through (0, 0), (a, e), (m, n) and (b, d).

    a and b are the 0.5 and 99.5 percentiles of x inside its mask, c and d those of the style, m and p the middle of the
    three tissues that k-means finds in x and in the style (`rnst_jax.physics.contrast.tissue_centres`, without the
    outermost 3 pixels), which in a brain are about fluid, grey and white matter; beyond b the last line goes on.

    At low field and low resolution the tissues are closer to each other than at high field, never further apart. So h
    takes nothing above the straight line x d / b. The middle tissue goes to n = min(p, m d / b), which does not depend
    on how much of each tissue a slice holds. The darkest is less certain, for a style's slice may show less fluid, and
    its mask may hold air: e, from min(c, a d / b) to a d / b, is that with which the mean of h(x) where x < m is
    nearest to the mean of the style below p.

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
    a, b, c, d = own[0], own[-1], wanted[0], wanted[-1]
    scale = d / jnp.maximum(b, _LEAST)
    has_range = b - a > 2 * _LEAST
    m = jnp.clip(_middle(x, mask), a + _LEAST, jnp.maximum(b - _LEAST, a + _LEAST))
    p = _middle(style, style_mask)
    n = jnp.minimum(p, m * scale)

    def h(x: Array, e: Array) -> Array:
        below = x * e / jnp.maximum(a, _LEAST)
        between = e + (x - a) * (n - e) / (m - a)
        above = n + (x - m) * (d - n) / jnp.maximum(b - m, _LEAST)
        return jnp.where(x < a, below, jnp.where(x < m, between, above))

    e = jnp.minimum(a * scale, n)
    darker = own < m
    # by this share of what e loses, the mean of the darker tones does
    follows = jnp.maximum(_mean((m - own) / (m - a), darker), _LEAST)
    excess = _mean(h(own, e), darker) - _mean(wanted, wanted < p)
    e = jnp.clip(e - excess / follows, jnp.minimum(c, e), e)
    moved = jnp.where(has_range, h(x, e), x * scale)
    return (x + share * (moved - x)).astype(x.dtype)


def _middle(x: Image, mask: Image | None) -> Float[Array, ""]:
    """The middle one of three tissues; the median where they cannot be told."""
    inside = jnp.ones(x.shape) if mask is None else mask
    side = 2 * _RIM + 1
    deep = jax.lax.reduce_window(inside, jnp.inf, jax.lax.min, (side, side), (1, 1), "SAME") > 0.5
    found = tissue_centres(x, deep)[1]
    return jnp.where(jnp.isfinite(found) & deep.any(), found, quantiles(x, mask, 1)[0])


def _mean(values: Array, where: Array) -> Float[Array, ""]:
    return jnp.sum(jnp.where(where, values, 0)) / jnp.maximum(where.sum(), 1)
