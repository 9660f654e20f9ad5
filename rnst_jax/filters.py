"""Separable filters with symmetric borders, and masks made smaller and larger, for all that needs them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnst_jax.types import Image, Scalar


def correlate(x: Image, weights: Float[Array, "taps"] | np.ndarray, axis: int) -> Image:
    """sum_k w_k x[i + k - r] along one axis, an odd number 2r + 1 of weights, symmetric borders (d c b a | a b c d).

    In full float32 on every device (no TF32). Weights may be traced and mapped over.

    Args:
        x: the image.
        weights: 2r + 1 weights; only their number is static.
        axis: 0 for rows, 1 for columns.

    Returns:
        An image of the same shape.

    Raises:
        ValueError: the number of weights is even.

    Examples:
        >>> import jax.numpy as jnp
        >>> correlate(jnp.array([[1.0, 2.0, 4.0]]), jnp.array([1.0, 0.0, 1.0]), 1).tolist()
        [[3.0, 5.0, 6.0]]
    """
    taps = weights.shape[0]
    if taps % 2 == 0:
        raise ValueError(f"an odd number of weights is needed to keep the image in place, got {taps}")
    n, radius = x.shape[axis], taps // 2
    # A banded matrix: on CPUs far faster than a convolution of one channel, and quicker to compile than shifted sums.
    source = np.pad(np.arange(n), radius, mode="symmetric")[np.arange(n)[:, None] + np.arange(taps)]
    band = jnp.zeros((n, n), x.dtype).at[np.arange(n)[:, None], source].add(jnp.asarray(weights, x.dtype))
    highest = jax.lax.Precision.HIGHEST
    return jnp.matmul(band, x, precision=highest) if axis == 0 else jnp.matmul(x, band.T, precision=highest)


def separable(x: Image, weights: Float[Array, "taps"] | np.ndarray) -> Image:
    """`correlate` with the same weights along rows and columns.

    Examples:
        >>> separable(jnp.eye(3), jnp.array([0.0, 2.0, 0.0]))[0].tolist()
        [4.0, 0.0, 0.0]
    """
    return correlate(correlate(x, weights, 0), weights, 1)


def gaussian_weights(width: Scalar, radius: int) -> Float[Array, "taps"]:
    """exp(-k^2 / (2 width^2)) for |k| <= radius, normalised to sum 1; width (pixels) may be traced, 0 gives a delta.

    Examples:
        >>> gaussian_weights(0.0, 1).tolist()
        [0.0, 1.0, 0.0]
    """
    k = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * (k / jnp.maximum(width, 1e-3)) ** 2)
    return weights / jnp.sum(weights)


def sharpened(x: Image, amount: Scalar, width: Scalar = 1.5) -> Image:
    """x + amount (x - g * x), g a Gaussian: the blur of a scanner partly undone (unsharp masking), symmetric borders.

    Args:
        x: (H, W).
        amount: 0 or more; frequencies far above 1 / width are multiplied by 1 + amount.
        width: standard deviation of g in pixels, at most 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> edge = sharpened(jnp.array([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]), 0.5)
        >>> bool(edge.min() < -0.1), bool(edge.max() > 1.1)
        (True, True)
    """
    return x + amount * (x - separable(x, gaussian_weights(width, 8)))


def laplacian_of_gaussian(x: Image, sigma: float = 1.5, *, truncate: float = 4.0) -> Image:
    """The Laplacian of x blurred by a Gaussian: G'' * x along rows plus the same along columns.

    Sampled kernels g_k ~ exp(-k^2 / (2 sigma^2)), sum 1, and g''_k = (k^2 / sigma^4 - 1 / sigma^2) g_k, cut at
    ``truncate`` sigma: what ``scipy.ndimage.gaussian_laplace`` computes.

    Args:
        x: the image.
        sigma: width in pixels, a Python number (it sets the kernel's radius).
        truncate: radius in units of sigma, a Python number.

    Source: Marr and Hildreth, Proc. R. Soc. B 207 (1980).

    Examples:
        >>> import jax.numpy as jnp
        >>> bool(laplacian_of_gaussian(jnp.zeros((9, 9)).at[4, 4].set(1.0))[4, 4] < 0)
        True
    """
    radius = log_radius(sigma, truncate)
    k = np.arange(-radius, radius + 1)
    g = np.exp(-0.5 * (k / sigma) ** 2)
    g /= g.sum()
    smooth = g.astype(np.float32)
    second = ((k**2 / sigma**4 - 1 / sigma**2) * g).astype(np.float32)
    return correlate(correlate(x, second, 0), smooth, 1) + correlate(correlate(x, smooth, 0), second, 1)


def log_radius(sigma: float, truncate: float = 4.0) -> int:
    """How many pixels `laplacian_of_gaussian` reaches.

    Examples:
        >>> log_radius(1.5)
        6
    """
    return int(truncate * sigma + 0.5)


def eroded(mask: Float[Array, "height width"], pixels: int) -> Bool[Array, "height width"]:
    """What of a mask is more than so many pixels from its outline, in rows, columns and diagonals.

    The border of the image is no outline.

    Args:
        mask: above one half inside.
        pixels: static.

    Examples:
        >>> eroded(jnp.array([[1.0, 1.0, 1.0, 1.0, 0.0]]), 1).tolist()
        [[True, True, True, False, False]]
    """
    side = 2 * pixels + 1
    # a window along each axis: a square one takes ten times as long
    for window in ((side, 1), (1, side)):
        mask = jax.lax.reduce_window(mask, jnp.inf, jax.lax.min, window, (1, 1), "SAME")
    return mask > 0.5


def dilated(mask: Float[Array, "height width"], pixels: int) -> Bool[Array, "height width"]:
    """A mask and what is up to so many pixels from it, in rows, columns and diagonals.

    Args:
        mask: 1 inside, 0 outside.
        pixels: static.

    Examples:
        >>> dilated(jnp.array([[1.0, 0.0, 0.0, 0.0, 0.0]]), 1).tolist()
        [[True, True, False, False, False]]
    """
    return ~eroded(1 - mask, pixels)
