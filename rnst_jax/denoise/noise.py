"""Blind estimates of the noise's standard deviation from one image."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnst_jax.order import quantile
from rnst_jax.types import Image, Scalar

# The high-pass filter of Daubechies' orthonormal wavelet with two vanishing moments.
_HIGH = np.array([1 - 3**0.5, 3**0.5 - 3, 3 + 3**0.5, -1 - 3**0.5], np.float32) / np.float32(32**0.5)

_INTERPOLATED = 2.0
"""Ratio of the noise on the half grid to that on the full grid from which a scan counts as interpolated."""


def estimate_sigma(x: Image, mask: Array | None = None) -> Float[Array, ""]:
    """median |d| / 0.6745 over the finest diagonal coefficients d of a db2 wavelet transform, in units of x.

    Valid for white Gaussian noise, and within the head for the Rician noise of magnitude images at an SNR above
    about 3. **Not** for zero-filled or otherwise interpolated scans: their noise has no finest frequencies. On six
    0.055 T slices zero-filled to 256 x 256 it gave 0.2 to 0.6 of the truth inside the head, and on their acquired
    matrices 0.8 (T2w) to 1.6 (T1w, whose edges fill the finest scale); `estimate_sigma_background` was within 6 %.

    Args:
        x: the image, at least 4 x 4.
        mask: only coefficients whose 4 x 4 support lies inside count. Rician noise is smaller in air: give a mask.

    Returns:
        sigma; 0 if all coefficients are exactly 0, NaN if none is inside. Exact zeros (air that was cut out) do not
        count otherwise.

    Source: Donoho and Johnstone, Biometrika 81 (1994), section 4.

    Examples:
        >>> import jax
        >>> x = 0.5 + 0.1 * jax.random.normal(jax.random.key(0), (128, 128))
        >>> round(estimate_sigma(x).item(), 2)
        0.1
    """
    inside = jnp.ones(x.shape, bool) if mask is None else mask.astype(bool)
    d = _downsample(_downsample(x, 0), 1)
    valid = _every(_every(inside, 0), 1)
    counts = valid & (d != 0)  # NaN counts
    sigma = jnp.where(jnp.any(counts), quantile(jnp.abs(d), counts, 0.5) / 0.6745, 0.0)
    return jnp.where(jnp.any(valid), sigma, jnp.nan)


def estimate_sigma_background(x: Image, mask: Array) -> Float[Array, ""]:
    """sqrt(mean x^2 / 2) over the air outside the mask: the scale of a Rayleigh distribution, in units of x.

    Where there is no signal the magnitude of complex Gaussian noise, sigma in each part, is Rayleigh. Interpolation by
    zero-filling does not matter. Valid for magnitude images from one coil (or a root of squares scaled to it) in
    which zero means no signal: **not** after an offset was subtracted, where a scanner has set air to zero, or where
    ghosts and wrap reach into the air (all of them bias it).

    Args:
        x: the magnitude image, (H, W).
        mask: 1 in the head; it should be generous, since all else is taken for air.

    Returns:
        sigma; NaN if nothing is outside the mask.

    Source: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> noise = 0.1 * jax.random.normal(jax.random.key(0), (2, 128, 128))
        >>> air = jnp.hypot(noise[0], noise[1])
        >>> round(estimate_sigma_background(air, jnp.zeros((128, 128), bool)).item(), 2)
        0.1
    """
    air = ~mask.astype(bool)
    return jnp.sqrt(jnp.sum(jnp.where(air, jnp.square(x), 0)) / jnp.sum(air) / 2)


def trusted(caution: Scalar, sigma: Scalar) -> Scalar:
    """1 / (1 + c sigma^2): how far what is found in an image with noise of sigma counts.

    Examples:
        >>> trusted(400.0, 0.05), trusted(0.0, 0.05)
        (0.5, 1.0)
    """
    return 1 / (1 + caution * sigma**2)


# jitted: step by step its hundred small operations would each be compiled, which takes longer than all of it at once
@jax.jit
def estimate_noise(x: Image, mask: Array) -> Float[Array, ""]:
    """The standard deviation that a denoiser for white noise must be told, in units of x.

    Where the noise is white: the larger of `estimate_sigma_background` and `estimate_sigma` inside the mask, as both
    fail by being too low (the air was blacked out, or the head is noisier than air).

    Where it is not, for the scan was interpolated, the finest details hold little noise: `estimate_sigma` on the half
    grid, whose pixels are sums of 2 x 2 pixels over 2 so that white noise keeps its sigma, gives c, more than twice
    the value on the full grid. (On 24 slices of 0.055 T zero-filled to 256 x 256 the ratio was 3.8 to 7.3, for white
    noise it is about 1.1.) The half grid is closer to the grid of the measurement, where noise is white, and c is
    returned if it is larger. `rnst_jax.denoise.AtNativeResolution` denoises there.

    Give the image with its air as measured. An estimate that is not possible (no air, a head of a few pixels) is passed
    over.

    Args:
        x: the magnitude image, (H, W).
        mask: 1 in the head.

    Returns:
        sigma; NaN if the head holds NaN, or no estimate is possible.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> noise = 0.1 * jax.random.normal(jax.random.key(0), (2, 64, 64))
        >>> mask = jnp.zeros((64, 64)).at[16:48, 16:48].set(1)
        >>> round(estimate_noise(jnp.hypot(mask + noise[0], noise[1]), mask).item(), 2)
        0.1
    """
    background, (fine, coarse) = estimate_sigma_background(x, mask), _on_two_grids(x, mask)
    white = jnp.fmax(background, fine)
    sigma = jnp.where(coarse > _INTERPOLATED * fine, jnp.fmax(white, coarse), white)
    broken = jnp.isnan(jnp.where(mask.astype(bool), x, 0.0)).any()
    return jnp.where(broken, jnp.nan, sigma)


@jax.jit
def is_interpolated(x: Image, mask: Array) -> Bool[Array, ""]:
    """Whether the noise in the head is correlated, as where a scan was zero-filled to more pixels than were measured.

    The test of `estimate_noise`: the half grid holds more than twice the noise of the full grid.

    Args:
        x: the image, (H, W).
        mask: 1 in the head.

    Examples:
        >>> import jax
        >>> noise, mask = jax.random.normal(jax.random.key(0), (64, 64)), jnp.ones((128, 128))
        >>> bool(is_interpolated(jax.image.resize(noise, (128, 128), "cubic"), mask))
        True
    """
    fine, coarse = _on_two_grids(x, mask)
    return coarse > _INTERPOLATED * fine


def _on_two_grids(x: Image, mask: Array) -> tuple[Array, Array]:
    """`estimate_sigma` on the full grid, and on the half grid in units that leave white noise its sigma."""
    half = tuple(side // 2 for side in x.shape)
    blocks = (half[0], 2, half[1], 2)
    x_half, mask_half = (a[: 2 * half[0], : 2 * half[1]].reshape(blocks) for a in (x, mask))
    return estimate_sigma(x, mask), estimate_sigma(x_half.sum((1, 3)) / 2, mask_half.min((1, 3)))


def _supports(x: Array, axis: int) -> list[Array]:
    x = jnp.moveaxis(x, axis, 0)
    count = (x.shape[0] - len(_HIGH)) // 2 + 1
    return [jnp.moveaxis(x[k : k + 2 * count : 2], 0, axis) for k in range(len(_HIGH))]


def _downsample(x: Image, axis: int) -> Image:
    parts = _supports(x, axis)
    return jnp.sum(jnp.stack([weight * part for weight, part in zip(_HIGH, parts, strict=True)]), 0)


def _every(mask: Array, axis: int) -> Array:
    return jnp.all(jnp.stack(_supports(mask, axis)), 0)
