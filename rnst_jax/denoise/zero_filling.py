"""By how much a scan was zero-filled: what was not measured is missing in the head, but not in the air."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.denoise.noise import is_interpolated
from rnst_jax.filters import dilated, eroded
from rnst_jax.order import quantile
from rnst_jax.types import Batch, Image

FACTORS = (2.0, 1.5, 1.25)
"""The answers, largest first: so few, as each is a program of its own."""

_EDGES = (*(1 / factor for factor in FACTORS), 0.9)
"""Shares of the highest frequency: where what was measured may end, and one that is not reached."""

_RISE = 0.1
"""Of the highest frequency: the width over which a high pass begins. A hard one spreads the air over the head."""

_EMPTY = 0.3
"""Ratio of head to air below which a band may hold nothing that was measured."""

_FALL = 2.0
"""How many times the ratio of the next band an empty band has at most."""

_APART = 4
"""Pixels between the outline of the head and what counts as head or air."""

_LEAST_AIR = 200
"""Pixels."""


@jax.jit
def zero_filling(x: Image, mask: Array) -> Float[Array, ""]:
    """The factor by which k-space was filled up with zeros, along the axis where it was filled up most.

    For each factor f and each axis: b is the image with the frequencies above 1 / f of the highest alone, and
    r = median |b| in the head / median |b| in the air. White noise has r = 1.5, as the magnitude has 0.66 of its
    standard deviation where there is no signal. If nothing was measured up there, r is below 0.2: the magnitude is
    almost as band-limited as the signal in the head, but not in the air, where it is that of noise alone. Where
    k-space ends smoothly, r is small before the end, but falls on. So the answer is the largest f of which r is below
    0.3, and at most twice that of the next smaller f (for 1.25: of the frequencies above 0.9). On 24 slices of 0.055 T
    r was 0.06 to 0.2 and 1.0 to 1.6 times the next beyond what had been measured, elsewhere 1.5 or more; on simulated
    scans whose k-space ended smoothly it was 0.05 to 0.08 and at most 1.6 times beyond the end, and 2.5 times or more
    before it.

    Args:
        x: a magnitude image with its air, (H, W); exact zeros count as neither head nor air.
        mask: 1 in the head.

    Returns:
        2, 1.5 or 1.25; NaN if no frequencies are empty, the image holds NaN, or there is too little air to tell.

    Examples:
        >>> from rnst_jax.denoise.native import resized
        >>> noise = 0.05 * jax.random.normal(jax.random.key(0), (2, 64, 64))
        >>> mask = jnp.zeros((64, 64)).at[12:52, 12:52].set(1)
        >>> measured = (mask + noise[0], noise[1])
        >>> filled = [resized(resized(part, 96, 0), 96, 1) for part in measured]
        >>> float(zero_filling(jnp.hypot(*filled), jax.image.resize(mask, (96, 96), "nearest")))
        1.5
        >>> float(zero_filling(jnp.hypot(*measured), mask))
        nan
    """
    head, air = eroded(mask, _APART) & (x != 0), ~dilated(mask, _APART) & (x != 0)
    # all bands at once: a sort of its own for each takes four seconds to compile on a GPU
    bands = jnp.abs(jnp.stack([_above(x, axis, edge) for edge in _EDGES for axis in (0, 1)]))
    medians = jax.vmap(quantile, (0, None, None))
    r = (medians(bands, head, 0.5) / medians(bands, air, 0.5)).reshape(-1, 2)
    empty = jnp.any((r[:-1] < _EMPTY) & (r[:-1] < _FALL * r[1:]), 1)
    told = empty.any() & (air.sum() >= _LEAST_AIR) & jnp.isfinite(x).all()
    return jnp.where(told, jnp.asarray(FACTORS)[jnp.argmax(empty)], jnp.nan)


def native_factor(images: Batch, masks: Batch) -> float:
    """Of a scan: 1 where the noise of most slices is white, else the median of `zero_filling`, or 2 if it cannot tell.

    Args:
        images: (B, H, W), as `zero_filling` takes them; those that are not finite do not count.
        masks: (B, H, W), 1 in the heads.

    Examples:
        >>> noise = jax.random.normal(jax.random.key(0), (1, 64, 64))
        >>> native_factor(1 + 0.05 * noise, jnp.ones_like(noise))
        1.0
    """
    interpolated = np.asarray(jax.vmap(is_interpolated)(images, masks))
    finite = np.asarray(jnp.isfinite(images).all((1, 2)))
    if not finite.any() or np.mean(interpolated[finite]) <= 0.5:
        return 1.0
    factors = np.asarray(jax.vmap(zero_filling)(images, masks))
    found = np.sort(factors[np.isfinite(factors)])
    return float(found[len(found) // 2]) if len(found) else 2.0


def _above(x: Image, axis: int, edge: float) -> Image:
    """What lies above ``edge``, a share of the highest frequency, with a smooth beginning."""
    size = x.shape[axis]
    share = np.clip((2 * np.fft.rfftfreq(size) - edge) / _RISE, 0, 1)
    weights = jnp.asarray(np.expand_dims((1 - np.cos(np.pi * share)) / 2, 1 - axis), x.dtype)
    return jnp.fft.irfft(weights * jnp.fft.rfft(x, axis=axis), size, axis=axis)
