"""Non-local means: every pixel becomes a mean of those whose neighbourhoods look alike."""

import jax
import jax.numpy as jnp
import numpy as np

from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree


@pytree
class NonLocalMeans:
    """D(x)_i = sum_j w_ij x_j / sum_j w_ij over the j within ``patch_distance`` of i, with the weights

    w_ij = exp(-max(d_ij - 2 sigma^2, 0) / (h sigma)^2), d_ij the mean squared difference of the patches around i and j.

    One pass per shift j - i computes all distances at once: a squared difference, a box filter, an exponential. As
    w_ij = w_ji, half of the shifts serve both ends; the memory is that of a few images. Borders are mirrored.

    scikit-image's ``denoise_nl_means(fast_mode=True)`` says patch_size s but compares patches of side s - 1 and divides
    their sum by s^2: its s = 5 and h = 0.8 sigma are patch_size = 4 and h = 0.8 * 5 / 4 = 1 here, the defaults.

    Attributes:
        h: decay of the weights in units of sigma, positive; larger is smoother.
        patch_size: side of a patch in pixels (static); the patch of an even one reaches farther down and right by a
            pixel.
        patch_distance: largest shift in rows and columns in pixels (static).

    Source: Buades, Coll and Morel, Image Processing On Line 1 (2011), for the weights; Darbon et al., ISBI 2008,
    for the loop over shifts.

    Examples:
        >>> import jax.numpy as jnp
        >>> NonLocalMeans()(jnp.ones((16, 16)), 0.1).round(4).tolist()[0][:2]
        [1.0, 1.0]
    """

    h: Scalar = 1.0
    patch_size: int = jax.tree.static(default=4)
    patch_distance: int = jax.tree.static(default=6)

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; sigma in units of x, 0 or more."""
        dtype, x = x.dtype, wide(x)
        (height, width), d, r = x.shape, self.patch_distance, self.patch_size // 2
        span = self.patch_size - 1  # before the pixel: span - r, after it: r
        sigma = jnp.asarray(sigma, x.dtype)
        variance = 2 * jnp.square(sigma)
        # The floor only meets sigma = 0, where patches must be equal to be averaged.
        decay = jnp.maximum(jnp.square(self.h * sigma), 1e-30)

        # Weights are needed at each pixel i and at i - shift: rows from -d to height, columns from -d to width + d.
        # A second margin, for the patch and for the shifted partner, goes around that.
        top, left = d + r, 2 * d + r
        padded = jnp.pad(x, ((top, top), (left, left)), mode="reflect")
        patches = (height + d + span, width + 2 * d + span)
        lead = 2 * r - span
        here = jax.lax.slice(padded, (lead, lead + d), (lead + patches[0], lead + d + patches[1]))

        def accumulate(state, shift):
            total, weights = state
            row, col = shift
            there = jax.lax.dynamic_slice(padded, (lead + row, lead + d + col), patches)
            distance = _box(jnp.square(here - there), self.patch_size)
            w = jnp.exp(-jnp.maximum(distance - variance, 0) / decay)
            for sign, (i, j) in ((1, (d, d)), (-1, (d - row, d - col))):
                w_ij = jax.lax.dynamic_slice(w, (i, j), x.shape)
                x_j = jax.lax.dynamic_slice(padded, (top + sign * row, left + sign * col), x.shape)
                total, weights = total + w_ij * x_j, weights + w_ij
            return (total, weights), None

        shifts = np.array([(a, b) for a in range(d + 1) for b in range(-d, d + 1) if (a, b) > (0, 0)], np.int32)
        (total, weights), _ = jax.lax.scan(accumulate, (x, jnp.ones_like(x)), shifts.reshape(-1, 2))
        return (total / weights).astype(dtype)


def _box(x: Image, size: int) -> Image:
    """Means over size x size squares that lie in x; the result is smaller by size - 1."""
    rows = jax.lax.reduce_window(x, 0.0, jax.lax.add, (size, 1), (1, 1), "VALID")
    return jax.lax.reduce_window(rows, 0.0, jax.lax.add, (1, size), (1, 1), "VALID") / size**2
