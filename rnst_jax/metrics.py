"""Image quality against a reference: PSNR, SSIM, NMSE and HFEN, on device, jittable and vmappable.

All take (H, W) images, the reference first, and count in float32 or better. ``mask`` is boolean or 0/1, the image's
shape; with one only the pixels inside count, and what a window around them reads. A NaN that counts gives a NaN; an
empty mask gives a NaN.

No function here may enter a reconstruction: a reference is for scoring only.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnst_jax.filters import dilated, laplacian_of_gaussian, log_radius, separable
from rnst_jax.order import quantile
from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar

Window = Literal["uniform", "gaussian"]
"""The window of SSIM: 7x7 uniform, or 11x11 Gaussian of width 1.5."""


def psnr(reference: Image, image: Image, *, data_range: Scalar = 1.0, mask: Array | None = None) -> Float[Array, ""]:
    """Peak signal-to-noise ratio 10 log10(data_range^2 / mean (x - ref)^2) in dB; infinite for equal images.

    Args:
        reference: the truth, (H, W).
        image: what is judged, the same shape.
        data_range: the largest possible difference, in units of the images.
        mask: where to average; everywhere by default.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(psnr(jnp.zeros((4, 4)), jnp.full((4, 4), 0.1)).item(), 3)
        20.0
    """
    reference, image = wide(reference), wide(image)
    return 10 * jnp.log10(jnp.square(data_range) / _mean(jnp.square(image - reference), mask))


def nmse(reference: Image, image: Image, *, mask: Array | None = None) -> Float[Array, ""]:
    """Normalised mean squared error ||x - ref||^2 / ||ref||^2, 0 or more; lower is better.

    The square of scikit-image's ``normalized_root_mse`` with its Euclidean normalisation.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(nmse(jnp.full((2, 2), 2.0), jnp.full((2, 2), 1.0)).item(), 3)
        0.25
    """
    reference, image = wide(reference), wide(image)
    return _mean(jnp.square(image - reference), mask) / _mean(jnp.square(reference), mask)


def ssim(
    reference: Image,
    image: Image,
    *,
    data_range: Scalar = 1.0,
    window: Window = "uniform",
    mask: Array | None = None,
) -> Float[Array, ""]:
    """Mean structural similarity, at most 1; see `ssim_map` for the formula and the windows.

    Args:
        reference: the truth, (H, W), at least as large as the window (7 or 11 pixels).
        image: what is judged, the same shape.
        data_range: the largest possible difference, in units of the images.
        window: "uniform" or "gaussian" (static).
        mask: where to average the full map, borders included. Without a mask a border of half the window (3 or 5
            pixels) is left out, as scikit-image does.

    Raises:
        ValueError: an unknown window, or an image smaller than it.

    Examples:
        >>> import jax.numpy as jnp
        >>> ramp = jnp.linspace(0, 1, 256).reshape(16, 16)
        >>> round(ssim(ramp, ramp, window="gaussian").item(), 3)
        1.0
    """
    border = len(_window(window)) // 2
    reference, image = (_read(x, mask, border) for x in (reference, image))
    similarity = ssim_map(reference, image, data_range=data_range, window=window)
    if mask is not None:
        return _mean(similarity, mask)
    return jnp.mean(similarity[border:-border, border:-border])


@partial(jax.jit, static_argnames="window")
def ssim_map(reference: Image, image: Image, *, data_range: Scalar = 1.0, window: Window = "uniform") -> Image:
    """Structural similarity around every pixel, (H, W), borders by symmetric padding.

    (2 m_x m_r + C1) (2 c_xr + C2) / ((m_x^2 + m_r^2 + C1) (v_x + v_r + C2)) with C1 = (0.01 data_range)^2 and
    C2 = (0.03 data_range)^2; m, v and c are the means, variances and covariance in the window:

    - "uniform": 7x7, sample (co)variances (divided by 48): scikit-image's default;
    - "gaussian": width 1.5 cut at radius 5, population (co)variances: the paper's, and scikit-image's with
      ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.

    Source: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13 (2004), equation 13.

    Raises:
        ValueError: an unknown window, or an image smaller than it.

    Examples:
        >>> import jax.numpy as jnp
        >>> ssim_map(jnp.ones((8, 9)), jnp.ones((8, 9))).shape
        (8, 9)
    """
    weights = _window(window)
    taps = len(weights)
    height, width = reference.shape
    if min(height, width) < taps:
        raise ValueError(f"an image of {height} x {width} is smaller than the {taps} x {taps} window")
    correction = taps**2 / (taps**2 - 1) if window == "uniform" else 1.0

    pair = jnp.stack([wide(reference), wide(image)])
    means = jax.vmap(lambda x: separable(x, weights))(pair)
    pad = taps // 2
    padded = jnp.pad(pair, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")

    # E[x^2] - E[x]^2 cancels in float32 where an image is flat and bright, just where C2 decides the ratio:
    # the deviations from the window's own mean are summed instead.
    def accumulate(total, offset):
        row, col, weight = offset
        deviation = jax.lax.dynamic_slice(padded, (jnp.zeros_like(row), row, col), pair.shape) - means
        products = jnp.stack([deviation[0] ** 2, deviation[1] ** 2, deviation[0] * deviation[1]])
        return total + weight * products, None

    rows, cols = np.indices((taps, taps), dtype=np.int32).reshape(2, -1)
    start = jnp.zeros((3, height, width), pair.dtype)
    total, _ = jax.lax.scan(accumulate, start, (rows, cols, np.outer(weights, weights).ravel()))
    variance_r, variance_x, covariance = correction * total
    mean_r, mean_x = means
    c1, c2 = jnp.square(0.01 * data_range), jnp.square(0.03 * data_range)
    luminance = (2 * mean_r * mean_x + c1) / (mean_r**2 + mean_x**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_r + variance_x + c2)


@partial(jax.jit, static_argnames="sigma")
def hfen(reference: Image, image: Image, *, sigma: float = 1.5, mask: Array | None = None) -> Float[Array, ""]:
    """High-frequency error norm ||LoG(x) - LoG(ref)|| / ||LoG(ref)||, 0 or more; lower is better.

    Args:
        reference: the truth, (H, W).
        image: what is judged, the same shape.
        sigma: width of the Laplacian of Gaussian in pixels, a Python number (static).
        mask: where the filtered images are compared; everywhere by default.

    Source: Ravishankar and Bresler, IEEE TMI 30 (2011), section IV.

    Examples:
        >>> import jax.numpy as jnp
        >>> ramp = jnp.linspace(0, 1, 256).reshape(16, 16) ** 2
        >>> round(hfen(ramp, 0.5 * ramp).item(), 4)
        0.5
    """
    reach = log_radius(sigma)
    reference, image = (wide(_read(x, mask, reach)) for x in (reference, image))
    error = laplacian_of_gaussian(image - reference, sigma)
    return jnp.sqrt(_mean(jnp.square(error), mask) / _mean(jnp.square(laplacian_of_gaussian(reference, sigma)), mask))


@jax.jit
def head_scores(reference: Image, image: Image, mask: Array) -> dict[str, Float[Array, ""]]:
    """PSNR, SSIM and HFEN inside the head only: the scores that say whether anatomy is right.

    Each image is scaled by its own 0.5 and 99.5 percentiles in the mask and clipped to [0, 1], so a global change of
    scale or offset costs nothing. SSIM has the Gaussian window. PSNR is at most 120 dB.

    Args:
        reference: the truth, (H, W), any units.
        image: what is judged, any units.
        mask: the head in the reference.

    Returns:
        ``head_psnr`` (dB), ``head_ssim``, ``head_hfen``.

    Examples:
        >>> import jax.numpy as jnp
        >>> ramp = jnp.linspace(0, 1, 256).reshape(16, 16)
        >>> scores = head_scores(ramp, 5 * ramp + 1, jnp.ones((16, 16), bool))
        >>> round(scores["head_ssim"].item(), 3)
        1.0
    """
    r, x = _robust(reference, mask), _robust(image, mask)
    return {
        "head_psnr": jnp.minimum(psnr(r, x, mask=mask), 120.0),
        "head_ssim": ssim(r, x, window="gaussian", mask=mask),
        "head_hfen": hfen(r, x, mask=mask),
    }


@jax.jit
def minmax_scores(reference: Image, image: Image) -> dict[str, Float[Array, ""]]:
    """PSNR and SSIM of the whole slice, each image scaled to [0, 1] by its own extremes: for comparison only.

    What the RNST authors' code measures. Black air alone raises it; `head_scores` is the honest score.

    Args:
        reference: the truth, (H, W), any units.
        image: what is judged, any units.

    Returns:
        ``minmax_psnr`` (dB) and ``minmax_ssim`` (uniform window).

    Examples:
        >>> import jax.numpy as jnp
        >>> ramp = jnp.linspace(0, 1, 256).reshape(16, 16)
        >>> sorted(minmax_scores(ramp, 1 - ramp))
        ['minmax_psnr', 'minmax_ssim']
    """
    r, x = _unit(reference), _unit(image)
    return {"minmax_psnr": psnr(r, x), "minmax_ssim": ssim(r, x)}


def _read(image: Image, mask: Array | None, reach: int) -> Image:
    """The image, 0 further than a filter reaches from the mask: filters are matrix products, and 0 times NaN is NaN."""
    if mask is None:
        return image
    return jnp.where(dilated(jnp.asarray(mask).astype(jnp.float32), reach), image, 0)


def _mean(x: Array, mask: Array | None) -> Array:
    if mask is None:
        return jnp.mean(x)
    inside = mask.astype(bool)
    return jnp.sum(jnp.where(inside, x, 0)) / jnp.sum(inside)


def _window(window: Window) -> np.ndarray:
    if window == "uniform":
        return np.full(7, 1 / 7, np.float32)
    if window == "gaussian":
        g = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        return (g / g.sum()).astype(np.float32)
    raise ValueError(f"unknown window {window!r}: 'uniform' or 'gaussian'")


def _robust(x: Image, mask: Array) -> Image:
    low, high = quantile(x, mask.astype(bool), jnp.array([0.005, 0.995]))
    return jnp.clip((x - low) / jnp.maximum(high - low, 1e-9), 0, 1)


def _unit(x: Image) -> Image:
    low, high = jnp.min(x), jnp.max(x)
    flat = high <= low
    return jnp.where(flat, 0.0, (x - low) / jnp.where(flat, 1.0, high - low))
