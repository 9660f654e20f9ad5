"""Wavelet denoising: soft thresholds that adapt to each subband (BayesShrink)."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree


@pytree
class Wavelet:
    """D(x) = W^T soft(W x), W an orthonormal 2-D wavelet transform with Daubechies' filters.

    Each subband of details d has its own threshold t = sigma^2 / sqrt(mean d^2 - sigma^2), which for Laplacian details
    nearly minimises the mean squared error; a subband with no more than the noise's energy becomes 0. The coarsest
    approximation is kept. Homogeneous: D(a x, a sigma) = a D(x, sigma).

    The image is mirrored up to a multiple of 2^levels pixels; there the transform wraps around. With ``shifts`` = s, D
    is the mean over s x s circular shifts: it hardly depends on where the image lies, and blocks vanish.

    Attributes:
        moments: vanishing moments of the wavelet, 1 (Haar) to 10, static; a filter has twice as many taps. On slices of
            MNI152 and 3 T with sigma 0.03 and 0.1 four gave 1.1 to 2.3 dB more than one and 0.3 to 0.8 dB more than
            two, without shifts; three shifts added 0.8 to 1.1 dB.
        levels: of the transform, static; no more are taken than halve the image down to the filter's length.
        shifts: shifts along each axis that are averaged, static; the cost is that of shifts^2 transforms.

    Raises:
        ValueError: moments are not 1 to 10, or levels or shifts less than 1.

    Source: Chang, Yu and Vetterli, IEEE TIP 9 (2000), for the threshold; Daubechies, Commun. Pure Appl. Math. 41
    (1988), for the filters; Coifman and Donoho, Translation-invariant de-noising (1995), for the shifts.

    Examples:
        >>> import jax.numpy as jnp
        >>> Wavelet()(jnp.ones((16, 16)), 0.1).round(4).tolist()[0][:2]
        [1.0, 1.0]
    """

    moments: int = jax.tree.static(default=4)
    levels: int = jax.tree.static(default=4)
    shifts: int = jax.tree.static(default=3)

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; sigma in units of x, 0 or more."""
        if not 1 <= self.moments <= 10:
            raise ValueError(f"moments must be 1 to 10, not {self.moments}")
        if self.levels < 1 or self.shifts < 1:
            raise ValueError(f"levels and shifts must be 1 or more, not {self.levels} and {self.shifts}")
        dtype, x = x.dtype, wide(x)
        levels = max(1, min(self.levels, int(math.log2(max(1, min(x.shape) / (2 * self.moments - 1))))))
        size = 2**levels
        padded = jnp.pad(x, [(0, -n % size) for n in x.shape], mode="symmetric")
        variance = jnp.square(jnp.asarray(sigma, x.dtype))

        def shifted(total: Image, shift: Array) -> tuple[Image, None]:
            image = self._shrink(jnp.roll(padded, shift, (0, 1)), variance, levels)
            return total + jnp.roll(image, -shift, (0, 1)), None

        shifts = jnp.array([(i, j) for i in range(self.shifts) for j in range(self.shifts)], jnp.int32)
        total, _ = jax.lax.scan(shifted, jnp.zeros_like(padded), shifts)
        return (total[: x.shape[0], : x.shape[1]] / len(shifts)).astype(dtype)

    def _shrink(self, x: Image, variance: Scalar, levels: int) -> Image:
        low = daubechies(self.moments)
        x, details = wavelet_transform(x, low, levels)
        return inverse_transform(x, jax.tree.map(lambda d: _soft(d, variance), details), low)


Details = list[tuple[Array, Array, Array]]
"""Per level from the finest: what is fine along rows, along columns and along both."""


def wavelet_transform(x: Float[Array, "h w"], low: np.ndarray, levels: int) -> tuple[Array, Details]:
    """The orthonormal 2-D wavelet transform with periodic borders.

    Args:
        x: sides divisible by 2^levels.
        low: an orthonormal low-pass filter; the high-pass is its reverse with alternating signs.
        levels: how often the approximation is split (static).

    Returns:
        The approximation, and the details.
    """
    details: Details = []
    for _ in range(levels):
        rows, cols = (_split(n, low).astype(x.dtype) for n in x.shape)
        h, w = (n // 2 for n in x.shape)
        y = _product(rows, x, cols.T)
        x = y[:h, :w]
        details.append((y[h:, :w], y[:h, w:], y[h:, w:]))
    return x, details


def inverse_transform(x: Array, details: Details, low: np.ndarray) -> Array:
    """The image with this approximation and these details: the transpose of `wavelet_transform`."""
    for vertical, horizontal, diagonal in reversed(details):
        y = jnp.block([[x, horizontal], [vertical, diagonal]])
        rows, cols = (_split(n, low).astype(x.dtype) for n in y.shape)
        x = _product(rows.T, y, cols)
    return x


@functools.cache
def daubechies(moments: int) -> np.ndarray:
    """Daubechies' orthonormal low-pass filter with so many vanishing moments and minimal phase.

    |H(w)|^2 = 2 cos^2N(w/2) P(sin^2(w/2)) with P(y) = sum_k binomial(N - 1 + k, k) y^k, k < N; H takes the roots of P
    inside the unit circle.

    Examples:
        >>> daubechies(1).round(4).tolist()
        [0.7071, 0.7071]
    """
    polynomial = [math.comb(moments - 1 + k, k) for k in range(moments)]
    h = np.ones(1)
    for y in np.roots(polynomial[::-1]):
        # y = (2 - z - 1/z) / 4 has two roots z, one the inverse of the other
        z = np.roots([1, 4 * y - 2, 1])
        h = np.convolve(h, [1, -z[np.argmin(np.abs(z))]])
    for _ in range(moments):
        h = np.convolve(h, [1, 1])
    h = np.real(h)
    return h * (2**0.5 / h.sum())


def _split(n: int, low: np.ndarray) -> np.ndarray:
    """The n x n matrix whose upper half has low-pass rows, each two pixels further on, and its lower half high-pass."""
    # Matrices and not sums of slices: XLA takes minutes to fuse those, and seconds for these.
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    matrix, row = np.zeros((n, n)), np.arange(n // 2)
    for k in range(len(low)):
        np.add.at(matrix, (row, (2 * row + k) % n), low[k])
        np.add.at(matrix, (n // 2 + row, (2 * row + k) % n), high[k])
    return matrix


def _product(a: np.ndarray, x: Array, b: np.ndarray) -> Array:
    highest = jax.lax.Precision.HIGHEST
    return jnp.matmul(jnp.matmul(a, x, precision=highest), b, precision=highest)


def _soft(d: Array, variance: Scalar) -> Array:
    excess = jnp.mean(jnp.square(d)) - variance
    # where nothing exceeds the noise, all goes
    above = excess > 0
    threshold = variance * jax.lax.rsqrt(jnp.where(above, excess, 1.0))
    shrunk = jnp.sign(d) * jnp.maximum(jnp.abs(d) - threshold, 0)
    return jnp.where(above | jnp.isnan(excess), shrunk, 0.0)
