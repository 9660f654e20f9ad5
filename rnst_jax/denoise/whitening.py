"""Undo part of the filter that a scanner put on k-space, told from the noise in the air of an image."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.denoise.noise import estimate_noise
from rnst_jax.filters import dilated
from rnst_jax.precision import wide
from rnst_jax.types import Batch, Image, Scalar

_APART = 8
"""Pixels between the outline of the head and what counts as air."""

_FAR = (4, 8)
"""Pixels, first and last, between which air is alike for its shading and ghosts alone."""

_LEAST_AIR = 2000
"""Pixels of a slice."""

_MOST = 0.64
"""Correlation of neighbours, at most: 2/3 is that of a filter with nothing left at the edge of k-space."""


def filter_edges(images: Batch, masks: Batch, factor: float) -> Float[np.ndarray, "2"] | None:
    """What a scanner's filter left at the edge of measured k-space, as a share of what it left in the centre.

    The filter is taken to be F(f) = (1 + e) / 2 + (1 - e) / 2 cos(pi f / f_edge) along each axis. In the image it is a
    kernel of three measured pixels, (b / 2, a, b / 2) with a = (1 + e) / 2 and b = 1 - a, so measured neighbours in
    noise that was white have the correlation

        r = a b / (a^2 + b^2 / 2)

    and the magnitude of complex noise about r^2. That is looked up in the air: the mean of all slices with enough of
    it, less its value 4 to 8 pixels apart.

    Args:
        images: (B, H, W), magnitudes with their air; exact zeros do not count, nor do slices that are not finite or
            whose air is constant.
        masks: (B, H, W), 1 in the heads.
        factor: by which k-space was filled up with zeros, see `rnst_jax.denoise.zero_filling`.

    Returns:
        e along rows and columns (axes 1 and 2), in (0, 1], 1 for no filter; None if there is too little air to tell.

    Examples:
        >>> noise = jnp.hypot(*jax.random.normal(jax.random.key(0), (2, 1, 128, 128)))
        >>> filter_edges(noise, jnp.zeros_like(noise), 1.0).round(1).tolist()
        [1.0, 1.0]
    """
    near = jax.vmap(lambda mask: dilated(mask, _APART))(jnp.asarray(masks, jnp.float32))
    values = np.asarray(images)
    air = ~np.asarray(near) & (values != 0)
    pairs = zip(values, air, strict=True)
    enough = [a.sum() >= _LEAST_AIR and np.isfinite(x).all() and np.ptp(x[a]) > 0 for x, a in pairs]
    if not any(enough):
        return None
    mean = np.mean([_correlations(x, a) for x, a in zip(values[enough], air[enough], strict=True)], 0)
    far = mean[:, _FAR[0] : _FAR[1] + 1].mean(1)
    neighbours = np.array([np.interp(factor, np.arange(len(line)), line) for line in mean])
    r = np.minimum(np.sqrt(np.maximum((neighbours - far) / (1 - far), 0)), _MOST)
    ratio = 2 * r / (1 + np.sqrt(1 - 2 * r**2))  # b / a
    return (1 - ratio) / (1 + ratio)


def _correlations(x: np.ndarray, air: np.ndarray) -> Float[np.ndarray, "2 lags"]:
    """Of pixels of air with those 0, 1, 2, ... pixels further on, along both axes."""
    rest = np.where(air, x - x[air].mean(), 0)
    lines = []
    for axis in (0, 1):
        values, counts = (np.ascontiguousarray(np.moveaxis(part, axis, 0), float) for part in (rest, air))
        ends = [len(values) - lag for lag in range(_FAR[1] + 1)]
        sums = [[np.vdot(part[:end], part[len(part) - end :]) for end in ends] for part in (values, counts)]
        covariances = np.divide(sums[0], np.maximum(sums[1], 1))
        lines.append(covariances / covariances[0])
    return np.array(lines)


@functools.partial(jax.jit, static_argnames="factor")
def unfiltered(x: Image, edges: Float[Array, "2"], share: Scalar, factor: float) -> Image:
    """Divide k-space by F^share up to the edge of what was measured, see `filter_edges`; values below 0 become 0.

    Args:
        x: (H, W), 0 or more.
        edges: e along both axes; 1 leaves an axis as it is.
        share: 0 leaves the image as it is; with 1 noise that was filtered is white again.
        factor: of the zero-filling (static).

    Examples:
        >>> x = jnp.zeros((8, 8)).at[4, 4].set(1.0)
        >>> round(float(unfiltered(x, jnp.array([0.5, 1.0]), 1.0, 1.0)[4, 4]), 2)
        1.41
    """
    full = wide(x)  # no transform takes half precision
    for axis, e in enumerate(edges):
        n = x.shape[axis]
        f = 2 * factor * np.fft.rfftfreq(n)
        window = (1 + e) / 2 + (1 - e) / 2 * jnp.cos(np.pi * f)
        gain = jnp.where(f <= 1, window ** -jnp.asarray(share, full.dtype), 1).astype(full.dtype)
        full = jnp.fft.irfft(jnp.fft.rfft(full, axis=axis) * jnp.expand_dims(gain, 1 - axis), n, axis=axis)
    return jnp.maximum(full, 0).astype(x.dtype)


def whitened(
    images: Batch, masks: Batch, edges: Float[Array, "2"], share: Scalar, factor: float
) -> tuple[Batch, Float[Array, "batch"]]:
    """A scan with part of its scanner's filter undone, and how many times its noise that has, by `estimate_noise`.

    Args:
        images: (B, H, W), 0 or more.
        masks: (B, H, W), 1 in the heads.
        edges: of `filter_edges`.
        share: as in `unfiltered`.
        factor: of the zero-filling.

    Examples:
        >>> images, gain = whitened(jnp.ones((1, 16, 16)), jnp.ones((1, 16, 16)), jnp.array([0.5, 1.0]), 0.5, 2.0)
        >>> images.shape, gain.tolist()  # no noise
        ((1, 16, 16), [1.0])
    """
    found = jax.vmap(lambda x: unfiltered(x, jnp.asarray(edges, x.dtype), share, factor))(images)
    before, after = (jax.vmap(estimate_noise)(each, masks) for each in (images, found))
    return found, jnp.where(before > 0, after / before, 1)
