"""A denoiser whose result is sharpened, the less the more noise there was."""

import jax.numpy as jnp

from rnst_jax import filters
from rnst_jax.denoise.noise import trusted
from rnst_jax.types import Denoiser, Image, Scalar, pytree


@pytree
class Sharpened:
    """D(x, sigma) = max(d + s (d - g * d), 0) with d = denoiser(x, sigma), s = amount / (1 + caution sigma^2).

    g is a Gaussian: the blur of a low-field scanner is undone in part (unsharp masking, `rnst_jax.filters.sharpened`).
    For one use, on the start of a reconstruction: repeated, it would add up.

    Attributes:
        denoiser: the D(x, sigma) whose result is sharpened.
        amount: s without noise; 0 leaves the result as it is.
        caution: how fast noise takes from s; at sigma = caution^(-1/2) half of it is left.
        width: standard deviation of g in pixels, at most 2.

    Examples:
        >>> from rnst_jax.denoise.identity import Identity
        >>> edge = Sharpened(Identity(), 1.0)(jnp.array([[0.2, 0.2, 0.2, 0.8, 0.8, 0.8]]), 0.0)
        >>> bool(edge[0, 2] < 0.1), bool(edge[0, 3] > 0.9)
        (True, True)
    """

    denoiser: Denoiser
    amount: Scalar = 0.3
    caution: Scalar = 400.0
    width: Scalar = 1.5

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image and sharpen it; both in the units and the dtype of x."""
        amount = jnp.asarray(self.amount * trusted(self.caution, sigma), x.dtype)
        return jnp.maximum(filters.sharpened(self.denoiser(x, sigma), amount, self.width), 0)
