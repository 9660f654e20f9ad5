"""The mean of several denoisers, whose errors are not the same."""

import jax.numpy as jnp

from rnst_jax.types import Denoiser, Image, Scalar, pytree


@pytree
class Average:
    """D(x, sigma) = sum_k w_k D_k(x, f_k sigma), the weights divided by their sum.

    Denoisers of different kinds err in different places, so their mean is nearer to the truth than they are in the
    mean; a share of non-local means also keeps fine structure that BM3D's patches smooth.

    Attributes:
        denoisers: the D_k.
        weights: the w_k, one for each; their sum is not 0.
        factors: the f_k, one for each.

    Raises:
        ValueError: there is not one weight and one factor for each denoiser.

    Examples:
        >>> keep, clear = lambda x, sigma: x, lambda x, sigma: 0 * x
        >>> Average((keep, clear), (3.0, 1.0), (1.0, 1.0))(jnp.ones((1, 2)), 0.1).tolist()
        [[0.75, 0.75]]
    """

    denoisers: tuple[Denoiser, ...]
    weights: tuple[Scalar, ...]
    factors: tuple[Scalar, ...]

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; any real floating dtype, which is also the result's."""
        if not len(self.denoisers) == len(self.weights) == len(self.factors):
            raise ValueError(
                f"{len(self.denoisers)} denoisers need as many weights and factors, not {len(self.weights)} "
                f"and {len(self.factors)}"
            )
        total = sum(w * d(x, f * sigma) for d, w, f in zip(self.denoisers, self.weights, self.factors, strict=True))
        return jnp.asarray(total / sum(self.weights)).astype(x.dtype)
