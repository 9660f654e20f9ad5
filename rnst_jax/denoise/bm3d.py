"""BM3D: similar patches are stacked, the stacks denoised in a transform domain, and the patches put back."""

import jax
import jax.numpy as jnp
import numpy as np

from rnst_jax.denoise.block_matching import HIGHEST, Groups, Patches, collaborate, extract, group_size, overlay
from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree

KAISER_BETA = 2.0
"""Shape of the window that patches are put back with."""

LEAST_ENERGY = 0.01
"""Bound of sum w^2 in a group's weight 1 / sum w^2: a group of which nothing is left must not outweigh all others."""


@pytree
class Bm3d:
    """Block-matching and 3-D filtering of white Gaussian noise, two times over.

    Patches y_i (block x block) that resemble a reference patch, the nearest first, make a group Y, and C = H (T y_i)_i
    is its spectrum: T a 2-D transform of each patch, H the orthonormal Haar transform along the group. The groups'
    estimates y_i = T^-1 (H^T S(C))_i are averaged wherever they overlap, with weights q k, k a Kaiser window:

    - first T is the biorthogonal wavelet 1.5, S(C) keeps |C| >= threshold sigma, q = 1 / max(1, number kept);
    - then T is the DCT, and with the spectrum B of the first estimate, which also says what matches,
      w = B^2 / (B^2 + wiener sigma^2), S(C) = w C, q = 1 / max(sum w^2, 0.01).

    D(c x, c sigma) = c D(x, sigma) for c > 0, so the units do not matter; sigma = 0 returns x up to rounding. As
    published, the mean of a group is shrunk like all of C: what lies within 0.1 sigma of 0 becomes 0.

    The published normal profile is ``Bm3d(2.7, 1.0, group_wiener=32)``. Against it the defaults gain 0.1 to 0.3 dB of
    PSNR and 0.003 to 0.004 of SSIM on blurred slices (MNI152, 5 to 25 / 255), and on sharp 3 T slices 0.04 to 0.08 dB
    at 15 and 25 / 255; there they lose 0.1 dB at 5 / 255, and on sharp MNI152 slices 0.15 dB at 35 / 255.

    Every group has its full size, as there is no limit to the distances. On slices of MNI152 and of 3 T scans the
    usual limits, 3000 / 255^2 and then 400 / 255^2 per pixel for images in [0, 1], gained at most 0.03 dB of PSNR at
    sigma 2 to 25 / 255, and lost 1 dB at 50 / 255.

    Rounding decides what matches where distances are nearly equal, and that can change pixels by 0.01 sigma. On CPUs
    results repeat, with or without jit and vmap. On GPUs sums over patches have no fixed order.

    Attributes:
        threshold: of the first stage, in units of sigma, positive.
        wiener: share of the noise's variance that the second stage takes for noise, positive: B is too low where the
            first stage dropped what was there, so the whole variance shrinks too much.
        block: side of a patch (static), a power of two.
        step: between reference patches in rows and columns (static), up to ``block``.
        search: side of the window of positions searched for matches (static), odd.
        group: patches per group in the first stage (static), a power of two; fewer where an image has not that many.
        group_wiener: the same in the second stage.

    Source: Dabov, Foi, Katkovnik and Egiazarian, IEEE TIP 16 (2007), but for the above.

    Examples:
        >>> Bm3d()(jnp.ones((16, 16)), 0.1).round(4).tolist()[0][:2]
        [1.0, 1.0]
    """

    threshold: Scalar = 3.3
    wiener: Scalar = 0.35
    block: int = jax.tree.static(default=8)
    step: int = jax.tree.static(default=3)
    search: int = jax.tree.static(default=39)
    group: int = jax.tree.static(default=16)
    group_wiener: int = jax.tree.static(default=16)

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image.

        Args:
            x: the image, at least ``block`` pixels high and wide; any real floating dtype, which is also the
                result's. All is computed in float32 or wider.
            sigma: in units of x, 0 or more.

        Raises:
            TypeError: x is no array of real floating numbers.
            ValueError: x is smaller than a patch, or a size is none of those above.
        """
        self._check(x)
        return _denoise(self, x, sigma)

    def _check(self, x: Image) -> None:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"BM3D takes images of real floating numbers, not {x.dtype}; convert it first")
        for name in ("block", "group", "group_wiener"):
            if (value := getattr(self, name)) < 1 or value.bit_count() != 1:
                raise ValueError(f"{name} must be a power of two, not {value}")
        if not 1 <= self.step <= self.block:
            raise ValueError(f"step must be 1 to block = {self.block}, not {self.step}: patches must cover the image")
        if self.search < 1 or self.search % 2 == 0:
            raise ValueError(f"search must be odd and positive, not {self.search}")
        if min(x.shape) < self.block:
            raise ValueError(f"an image of {x.shape} is smaller than a patch; pad it to {self.block} pixels or more")


# jitted, so that a call outside of jit decides near-ties as one inside
@jax.jit
def _denoise(model: Bm3d, x: Image, sigma: Scalar) -> Image:
    full = wide(x)
    sigma, threshold = jnp.asarray(sigma, full.dtype), jnp.asarray(model.threshold, full.dtype)
    y, dct, wavelet = extract(full, model.block), dct_matrix(model.block), wavelet_matrix(model.block)
    variance = jnp.maximum(jnp.asarray(model.wiener, full.dtype) * jnp.square(sigma), jnp.finfo(full.dtype).tiny)

    def keep(c):
        dropped = jnp.abs(c) < threshold * sigma  # NaN is not
        return jnp.where(dropped, 0, c), 1 / jnp.maximum(jnp.sum(~dropped, (0, 2)), 1)

    def attenuate(b, c):
        w = jnp.square(b) / (jnp.square(b) + variance)
        return w * c, 1 / jnp.maximum(jnp.sum(jnp.square(w), (0, 2)), LEAST_ENERGY)

    first = _stage(model, y, (_transform(y, wavelet),), np.linalg.inv(wavelet), keep, model.group)
    basis = _transform(extract(first, model.block), dct)
    second = _stage(model, basis, (basis, _transform(y, dct)), dct.T, attenuate, model.group_wiener)
    return second.astype(x.dtype)


def _stage(model: Bm3d, guide: Patches, spectra: tuple[Patches, ...], inverse: np.ndarray, shrink, size: int) -> Image:
    """Shrink the groups' spectra, and average what comes of it."""
    size = group_size(guide.shape[:2], model.search, size)

    def shrink_groups(*groups):
        shrunk, weight = shrink(*map(haar, groups))
        return inverse_haar(shrunk), weight

    total, weights = collaborate(guide, spectra, shrink_groups, size=size, step=model.step, search=model.search)
    window = np.kaiser(model.block, KAISER_BETA)
    window = jnp.asarray(np.outer(window, window).ravel(), guide.dtype)
    # The transform back is linear: once for the sum at a position, not once for every patch in every group.
    total = overlay(window * _transform(total, inverse), model.block)
    return total / overlay(window * weights[..., None], model.block)


def _transform(patches: Patches, matrix: np.ndarray) -> Patches:
    """A p A^T for every patch p."""
    return jnp.matmul(patches, jnp.asarray(np.kron(matrix, matrix).T, patches.dtype), precision=HIGHEST)


def dct_matrix(n: int) -> np.ndarray:
    """The orthonormal DCT-II of n points: row k is proportional to cos(pi (2 j + 1) k / (2 n)).

    Examples:
        >>> dct_matrix(2).round(3).tolist()
        [[0.707, 0.707], [0.707, -0.707]]
    """
    k, j = np.indices((n, n))
    return np.cos(np.pi * (2 * j + 1) * k / (2 * n)) * np.sqrt(np.where(k == 0, 1, 2) / n)


def haar(groups: Groups) -> Groups:
    """The orthonormal Haar transform along the first axis, a power of two long: mean, then differences, coarse to fine.

    Sums and differences, no matrix product, since the latter rounds in another way when it is batched.

    Examples:
        >>> haar(jnp.array([1.0, 1.0, 3.0, 3.0])).round(3).tolist()
        [4.0, -2.0, 0.0, 0.0]
    """
    details = []
    while len(groups) > 1:
        even, odd = groups[::2], groups[1::2]
        details.insert(0, np.sqrt(0.5, dtype=groups.dtype) * (even - odd))
        groups = np.sqrt(0.5, dtype=groups.dtype) * (even + odd)
    return jnp.concatenate([groups, *details])


def inverse_haar(spectrum: Groups) -> Groups:
    """The inverse of `haar`.

    Examples:
        >>> inverse_haar(jnp.array([4.0, -2.0, 0.0, 0.0])).round(3).astype(int).tolist()
        [1, 1, 3, 3]
    """
    groups = spectrum[:1]
    while len(groups) < len(spectrum):
        details = spectrum[len(groups) : 2 * len(groups)]
        pairs = jnp.stack([groups + details, groups - details], 1)
        groups = np.sqrt(0.5, dtype=pairs.dtype) * pairs.reshape(-1, *pairs.shape[2:])
    return groups


def wavelet_matrix(n: int) -> np.ndarray:
    """The periodic biorthogonal wavelet 1.5 of n points, a power of two, to the coarsest level, rows of norm 1.

    Differences of two neighbours, and means by the 10 taps (3, -3, -22, 22, 128, 128, 22, -22, -3, 3) / 256. With
    rows of norm 1 white noise has the same standard deviation in every coefficient. It is not orthogonal.

    Source: Cohen, Daubechies and Feauveau, Comm. Pure Appl. Math. 45 (1992).

    Examples:
        >>> wavelet_matrix(8).shape
        (8, 8)
    """
    low = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3]) / 256
    means, details = np.eye(n), np.zeros((0, n))
    while (m := len(means)) > 1:
        start = 2 * np.arange(m // 2)
        level = np.zeros((m // 2, m))
        for tap, weight in enumerate(low):
            # on short levels the taps wrap around and meet
            np.add.at(level, (start // 2, (start + tap - 4) % m), weight)
        details = np.concatenate([means[start] - means[start + 1], details])
        means = level @ means
    matrix = np.concatenate([means, details])
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
