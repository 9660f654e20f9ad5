"""The darkest, a middle and the brightest tissue of an image brought to those of a style."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.filters import eroded
from rnst_jax.style.losses import quantiles
from rnst_jax.types import Image, Scalar

_COUNT = 100
"""Of quantiles."""
_FLOOR = 3
"""Of them, the darkest that are no tissue: what a mask holds of the air."""
_CUTS = 1 + np.stack(np.triu_indices(_COUNT - 1, 1))
"""All ways to cut the quantiles in three parts, as pairs (j, k) of where the second and the third begin."""
_RIM = 3
"""Pixels below the outline, which are part air and no tissue of their own."""
_AIR = 0.08
"""Share of the brightest below which there is air, in a mask that is not tight."""
_LEAST = 1e-4
"""Ranges below it are none, and nothing is stretched."""


def align_endpoints(
    x: Image,
    mask: Image | None,
    style: Image,
    style_mask: Image | None,
    share: Scalar = 1.0,
    dark_tail: Scalar = 0.0,
) -> Image:
    """x + share (h(x) - x), h rising and piecewise linear through (0, 0), (a, e), (m, n) and (b, d).

    a and b are the 0.5 and 99.5 percentiles of x inside its mask, c and d those of the style, and m the mean of the
    middle of three tissues in x: its percentiles, without the outermost 3 pixels, cut in three so that the variance
    within the parts is least. In a brain these are about fluid, grey and white matter. Beyond b the last line goes on.

    At low field and low resolution the tissues are closer to each other than at high field, never further apart. So h
    takes nothing above the straight line x d / b. The middle tissue goes to n = min(p, m d / b), p the percentile of
    the style that m is of x. (The style's own middle tissue does not serve: where noise or a low field joins grey and
    white matter in x, the middle of its three tissues is another one.) The darkest is less certain, for a style's
    slice may show less fluid, and its mask may hold air: e, from min(c, a d / b) to a d / b, is that with which the
    mean of h(x) where x < m is nearest to the mean of as much of the style, both without the 3 darkest percent.

    Where resolution was lost, fluid is smeared over its neighbours: more of a slice is much darker than the middle
    tissue than in the style, which no line mends. So below m the map goes on towards the style's value at the same
    percentile p, by dark_tail (1 - p(x) / p(m)) of the way, but not at the darkest, and never falling.

    Source: the cut is that of Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979), for two thresholds.

    Args:
        x: (H, W), 0 or more.
        mask: above one half inside the head; None takes the whole image.
        style: (h, w) of somebody else, which shows the same tissues.
        style_mask: as ``mask``.
        share: 0 leaves x as it is.
        dark_tail: in [0, 1]; 0 is for images that lost no resolution.

    Examples:
        >>> x = jnp.array([[0.3, 0.5, 0.7]])
        >>> [round(v, 2) for v in align_endpoints(x, None, jnp.array([[0.1, 0.5, 0.9]]), None)[0].tolist()]
        [0.1, 0.5, 0.9]
    """
    own, wanted = quantiles(x, mask, _COUNT), quantiles(style, style_mask, _COUNT)
    a, b, c, d = own[0], own[-1], wanted[0], wanted[-1]
    scale = jnp.where(b > _LEAST, d / jnp.maximum(b, _LEAST), 1.0)
    has_range = b - a > 2 * _LEAST
    m = jnp.clip(_middle(x, mask, b), a + _LEAST, jnp.maximum(b - _LEAST, a + _LEAST))
    n = jnp.minimum(jnp.interp(m, own, wanted), m * scale)

    def h(x: Array, e: Array) -> Array:
        below = x * e / jnp.maximum(a, _LEAST)
        between = e + (x - a) * (n - e) / (m - a)
        above = n + (x - m) * (d - n) / jnp.maximum(b - m, _LEAST)
        return jnp.where(x < a, below, jnp.where(x < m, between, above))

    e = jnp.minimum(a * scale, n)
    tones, wanted_tones = own[_FLOOR:], wanted[_FLOOR:]
    # by this share of what e loses, the mean of the darker tones does
    follows = jnp.maximum(_mean((m - tones) / (m - a), tones < m), _LEAST)
    excess = _mean(h(tones, e) - wanted_tones, tones < m)
    e = jnp.clip(e - excess / follows, jnp.minimum(c, e), e)
    moved = jnp.where(has_range, h(x, e) + _lift(x, own, h(own, e), wanted, m, dark_tail), x * scale)
    return (x + share * (moved - x)).astype(x.dtype)


def _middle(x: Image, mask: Image | None, brightest: Array) -> Float[Array, ""]:
    """The mean of the middle one of three tissues; in the whole mask if all of it is rim or air."""
    inside = jnp.ones(x.shape) if mask is None else jnp.asarray(mask)
    tissue = eroded(inside, _RIM) & (x > _AIR * brightest)
    q = quantiles(x, jnp.where(tissue.any(), tissue, inside), _COUNT)
    sums = jnp.concatenate([jnp.zeros(1, q.dtype), jnp.cumsum(q)])
    first, second = jnp.asarray(_CUTS)
    parts = ((0, first), (first, second), (second, _COUNT))
    # the variance within is least where that between is most
    between = sum(jnp.square(sums[to] - sums[start]) / (to - start) for start, to in parts)
    best = jnp.argmax(between)
    j, k = first[best], second[best]
    return (sums[k] - sums[j]) / (k - j)


def _lift(x: Image, own: Array, moved: Array, wanted: Array, middle: Array, dark_tail: Scalar) -> Image:
    """By how much what is darker than the middle tissue goes on towards the style's value at the same percentile."""
    ranks = jnp.arange(_COUNT, dtype=own.dtype)
    weights = dark_tail * jnp.clip(1 - ranks / jnp.maximum(jnp.interp(middle, own, ranks), 1), 0, 1)
    # the darkest is where h has put it
    towards = moved + weights.at[0].set(0) * (wanted - moved)
    return jnp.interp(x, own, jax.lax.cummax(towards) - jax.lax.cummax(moved), left=0, right=0)


def _mean(values: Array, where: Array) -> Float[Array, ""]:
    return jnp.sum(jnp.where(where, values, 0)) / jnp.maximum(where.sum(), 1)
