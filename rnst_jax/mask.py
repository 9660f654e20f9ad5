"""The head in a slice: where there is tissue and where there is air. Host side, numpy and scipy."""

import numpy as np
from jaxtyping import Bool

_SCALES = (1 / 128, 1 / 64, 1 / 32)
"""Standard deviations of the smoothing, as shares of the slice's side (2, 4, 8 pixels at 256 x 256): the finest one
that tells head from air is taken."""
_CLOSING = 1 / 40
"""Radius that bridges gaps of the scalp, as a share of the slice's side."""
_LEVEL = 0.35
"""Where the edge lies between air (0) and head (1): under one half, for the rim is often darker than the rest."""
_SEPARATION = 4.0
"""Head must lie this many standard deviations of air above air. Pure noise, cut in two at its middle, gives less
than 3 (both classes are halves of one bell curve); scans at 0.055 T give more than 5."""
_SMALLEST = 1 / 400
"""The least share of the slice that can be a head; smaller spots are spikes or wrap-around."""


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """The threshold that separates two classes best (Otsu 1979).

    With class shares w0, w1 and class means m0, m1 it maximises the variance between the classes, w0 w1 (m0 - m1)^2,
    over the edges of a histogram.

    Args:
        values: finite numbers in an array of any shape.
        bins: bins of the histogram.

    Returns:
        The threshold; values above it are the upper class. For a constant array, that constant.

    Examples:
        >>> 1 < otsu_threshold(np.array([0.0, 1.0, 1.0, 9.0, 10.0])) < 9
        True
    """
    if values.min() == values.max():
        return float(values.flat[0])
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, moment = np.cumsum(counts)[:-1], np.cumsum(counts * centres)[:-1]
    above = counts.sum() - below
    gap = moment / np.maximum(below, 1) - ((counts * centres).sum() - moment) / np.maximum(above, 1)
    between = below * above * gap**2
    # Empty bins between the classes make the maximum a plateau: its middle keeps its distance from both.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1:-1][best[len(best) // 2]])


def head_mask(image: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Tissue of the head in one slice, holes (skull, sinuses, ventricles) filled.

    Noise adds to a magnitude as squares do: the median square of the air is taken off, or dim edges would sink in it
    and the head shrink. A square root compresses the slice, so that bright fat or fluid does not hide dim tissue, and a
    Gaussian smooths it, as little as the noise allows. Otsu's threshold gives a first guess of the two classes; their
    medians a (air) and h (head) place the edge at a + 0.35 (h - a). Gaps of the outline are closed, the largest piece
    is kept and its holes are filled. All lengths are shares of the slice's size, so that voxel sizes do not matter.

    Args:
        image: (H, W), any intensity unit, tissue brighter than air. Non-finite values count as air.

    Returns:
        A bool array of the same shape, empty where the slice is constant or holds air only.

    Raises:
        ValueError: the array is not 2-D.

    Examples:
        >>> disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
        >>> noisy = np.abs(disc + 0.1 * np.random.default_rng(0).normal(size=disc.shape))
        >>> bool((head_mask(noisy) ^ disc).mean() < 0.02), bool(head_mask(np.ones((8, 8))).any())
        (True, False)
    """
    from scipy import ndimage  # a fifth of a second, which a mere import of the package need not pay

    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2:
        raise ValueError(f"head_mask takes one 2-D slice, not an array of shape {image.shape}")
    empty = np.zeros(image.shape, bool)
    finite = np.isfinite(image)
    if not finite.any():
        return empty
    low = image[finite].min()
    image = np.where(finite, image, low)
    # A few voxels (spikes, fat next to a coil) can be many times brighter than the rest.
    high = np.percentile(image, 99.8)
    if high <= low:
        return empty
    side = float(np.sqrt(image.size))
    power = np.square(np.clip((image - low) / (high - low), 0, 1))
    noise = np.median(power[power <= otsu_threshold(power**0.25) ** 4])
    compressed = np.maximum(power - noise, 0) ** 0.25
    for scale in _SCALES:
        smooth = ndimage.gaussian_filter(compressed, max(scale * side, 0.7))
        upper = smooth > otsu_threshold(smooth)
        air, head = np.median(smooth[~upper]), np.median(smooth[upper]) if upper.any() else -np.inf
        if head - air > _SEPARATION * smooth[~upper].std():
            break
    else:
        return empty

    radius = max(round(_CLOSING * side), 1)
    disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    # Padding keeps the closing from eating a head that touches the border.
    inside = np.pad(smooth > air + _LEVEL * (head - air), radius)
    closed = ndimage.binary_closing(inside, disc)[radius:-radius, radius:-radius]
    labels = np.zeros(image.shape, np.int32)
    ndimage.label(closed, output=labels)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.size == 0 or sizes.max() < _SMALLEST * image.size:
        return empty
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + np.argmax(sizes)), dtype=bool)


def bounding_box(masks: Bool[np.ndarray, "n height width"], margin: int = 8, multiple: int = 32) -> tuple[slice, slice]:
    """Rows and columns that hold all heads of a stack.

    Args:
        masks: the heads; where all are empty, the whole slice is the box.
        margin: pixels of air kept on each side, to keep a network's zero padding away from tissue.
        multiple: both sides of the box are multiples of this where the slice allows, so that heads of different
            sizes share few compiled programs.

    Examples:
        >>> masks = np.zeros((1, 100, 100), bool)
        >>> masks[0, 40:60, 30:70] = True
        >>> bounding_box(masks)
        (slice(18, 82, None), slice(18, 82, None))
    """
    inside = masks.any(axis=0)
    if not inside.any():
        inside = np.ones_like(inside)
    box = []
    for axis in (0, 1):
        lines = np.flatnonzero(np.any(inside, axis=1 - axis))
        first, stop, full = int(lines[0]), int(lines[-1]) + 1, inside.shape[axis]
        size = min(full, -(-(stop - first + 2 * margin) // multiple) * multiple)
        start = min(max((first + stop - size) // 2, 0), full - size)
        box.append(slice(start, start + size))
    return box[0], box[1]
