"""The receive field of a scan: the slow shading that a coil's sensitivity leaves in the image, from the image alone.

In a head most of each tissue has one intensity; shading smears it. So the field is taken to be the smooth one that,
divided out, leaves the sharpest distribution of intensities: the idea of N3 (Sled, Zijdenbos and Evans, IEEE TMI 17,
1998) with five numbers in the place of its splines, which a scan of few slices and much noise does not settle.
"""

import numpy as np
from jaxtyping import Bool, Float

from rnst_jax.scalp import depth_below

_DEPTH = 0.1
"""Where the head counts: deeper than this below its outline, as a share of the square root of its area (15 mm)."""
_SMOOTHING = 0.008
"""Width of the Gaussian that is applied first, in the same unit (1.2 mm)."""
_EDGES = 70
"""Pixels whose gradient lies above this percentile are on edges, and say nothing of a tissue."""
_DARK = 0.1
"""Pixels below this share of the bright ones are fluid or bone under noise."""
_FIRST, _STEP, _COUNT = -3.0, 0.03, 126
"""Centre of the first bin, distance and number of bins of the logarithm of the intensity, relative to the brightest."""
_WIDTH = 1.5
"""Width of the Gaussian on the histogram, in bins."""
_SLICES, _PIXELS = 16, 4096
"""The most slices, and pixels of each, that are looked at; they are taken evenly spread."""


def receive_field(
    images: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"], stiffness: float = 0.3
) -> Float[np.ndarray, "n h w"]:
    """The field b = exp(a . p(u, v)), to divide the images by; one for all slices of a scan.

    p = (u, v, u v, u^2, v^2), with u and v from the middle of the heads in units of two thirds of the square root of
    their area. a minimises  mean_k H_k(a) + c |a|^2,  where H_k is the entropy of the distribution of log(image / b)
    inside the head of slice k, away from its outline and from edges, and c the stiffness. The mean of log b over the
    heads is 0.

    Args:
        images: slices of one scan, any intensity unit, air near 0.
        masks: the heads in them; slices without one do not count.
        stiffness: c; the larger, the flatter the field.

    Returns:
        float32, above 0; 1 everywhere if no slice has a head with anything in it.

    Examples:
        >>> rows, cols = np.mgrid[-48:48, -48:48]
        >>> head = np.hypot(rows, cols) < 40
        >>> tissue = head * np.where(np.cos(rows / 5) * np.cos(cols / 5) > 0, 1.0, 0.6)
        >>> shading = np.exp(0.004 * rows)
        >>> field = receive_field((tissue * shading)[None], head[None])[0]
        >>> bool(np.std((np.log(shading) - np.log(field))[head]) < 0.3 * np.std(np.log(shading)[head]))
        True
    """
    from scipy import optimize

    images, masks = np.asarray(images, np.float64), np.asarray(masks) > 0
    with_head = np.flatnonzero(masks.any(axis=(1, 2)))
    if not with_head.size:
        return np.ones(images.shape, np.float32)
    p = _polynomials(masks)
    top = np.percentile(images[masks], 99.5)
    chosen = with_head[np.unique(np.linspace(0, len(with_head) - 1, _SLICES).astype(int))]
    samples = [_samples(images[k] / top, masks[k], p) for k in chosen] if top > 0 else []
    samples = [(logarithm, values) for logarithm, values in samples if logarithm.size]
    if not samples:
        return np.ones(images.shape, np.float32)

    def cost(a: np.ndarray) -> float:
        return float(np.mean([_entropy(log - a @ values) for log, values in samples]) + stiffness * np.sum(a**2))

    a = optimize.minimize(cost, np.zeros(len(p)), method="L-BFGS-B", options={"eps": 1e-5}).x
    field = np.tensordot(a, p, 1)
    field -= np.mean(np.broadcast_to(field, masks.shape)[masks])
    return np.broadcast_to(np.exp(field).astype(np.float32), images.shape)


def _polynomials(masks: np.ndarray) -> np.ndarray:
    _, rows, columns = np.nonzero(masks)
    side = np.sqrt(masks.sum(axis=(1, 2)).max()) / 1.5
    height, width = masks.shape[1:]
    u, v = np.meshgrid(
        (np.arange(height) - rows.mean()) / side, (np.arange(width) - columns.mean()) / side, indexing="ij"
    )
    return np.stack([u, v, u * v, u * u, v * v])


def _samples(image: np.ndarray, mask: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the intensities that count, and the polynomials there, centred: a constant factor means nothing."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, _SMOOTHING * np.sqrt(mask.sum()))
    counts = (depth_below(mask) > _DEPTH) & (smooth > _DARK)
    if counts.any():
        slope = ndimage.gaussian_gradient_magnitude(smooth, 1.0)
        counts &= slope <= np.percentile(slope[counts], _EDGES)
    stride = max(1, -(-int(counts.sum()) // _PIXELS))
    logarithms, values = np.log(smooth[counts])[::stride], p[:, counts][:, ::stride]
    return logarithms, values - values.mean(axis=1, keepdims=True) if counts.any() else values


def _entropy(logarithms: np.ndarray) -> float:
    """Of their smoothed histogram. A value counts in the bins on both sides of it, by how near they are.

    With a value in one bin only, the entropy would jump wherever one crosses to the next bin, and the field that
    minimises it would hang on the last bit of the intensities.
    """
    from scipy import ndimage

    position = (logarithms - _FIRST) / _STEP
    position = position[(position >= 0) & (position < _COUNT - 1)]
    if not position.size:
        return float(np.log(_COUNT))
    lower = position.astype(int)
    share = position - lower
    histogram = np.bincount(lower, 1 - share, _COUNT) + np.bincount(lower + 1, share, _COUNT)
    smooth = ndimage.gaussian_filter1d(histogram, _WIDTH)
    smooth = smooth[smooth > 0] / smooth.sum()
    return float(-np.sum(smooth * np.log(smooth)))
