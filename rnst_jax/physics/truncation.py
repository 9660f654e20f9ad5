"""Resolution loss by a smaller k-space."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.physics.fourier import fft2c, ifft2c
from rnst_jax.types import Scalar, pytree


@pytree
class Truncation(LinearPhysics):
    """An ideal scan with a smaller matrix: y = s Re F^H C F x, C the central part of k-space, s = (h w / H W)^(1/2).

    The image has fewer pixels and the mean of the full one. Where a side of the small matrix is even, its Nyquist
    frequency stands for two of the full matrix, and the real part takes their mean. So A A^H = F^H d F with d = s^2, or
    s^2 / 2 at those frequencies, and the proximal step is x = z + gamma A^H F^H (1 + gamma d)^(-1) F (y - A z).

    Attributes:
        size: (h, w) of y, not larger than x, static.
        shape: (H, W) of x, static.

    Examples:
        >>> import jax.numpy as jnp
        >>> Truncation((2, 2), (4, 4)).forward(jnp.ones((4, 4))).round(4).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """

    size: tuple[int, int] = jax.tree.static()
    shape: tuple[int, int] = jax.tree.static()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As given."""
        return self.shape

    def forward(self, x: Array) -> Array:
        """s Re F^H C F x, (h, w)."""
        return self._scale * ifft2c(fft2c(x)[central(self.shape, self.size)]).real

    def adjoint(self, y: Array) -> Array:
        """s Re F^H C^H F y, zero-filling: (H, W)."""
        return self._scale * ifft2c(zero_filled(fft2c(y), self.shape)).real

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """The closed form, see the class."""
        residual = fft2c(y - self.forward(z)) / (1 + gamma * self._power())
        return z + gamma * self.adjoint(ifft2c(residual).real)

    @property
    def _scale(self) -> float:
        return float(np.sqrt(np.prod(self.size) / np.prod(self.shape)))

    def _power(self) -> Float[np.ndarray, "h w"]:
        """The eigenvalues d of A A^H."""
        rows, columns = (
            (np.arange(small) == 0) & (small % 2 == 0) & (small < full)
            for small, full in zip(self.size, self.shape, strict=True)
        )
        halved = rows[:, None] | columns
        return np.where(halved, 0.5, 1.0).astype(np.float32) * np.float32(self._scale**2)


def central(shape: tuple[int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Where the central ``size`` coefficients lie in centred k-space of ``shape``.

    Examples:
        >>> central((8, 5), (4, 3))
        (slice(2, 6, None), slice(1, 4, None))
    """
    starts = [full // 2 - small // 2 for full, small in zip(shape, size, strict=True)]
    if min(starts) < 0 or any(small > full for full, small in zip(shape, size, strict=True)):
        raise ValueError(f"a matrix of {size} is not part of one of {shape}")
    return slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])


def zero_filled(kspace: Array, shape: tuple[int, int]) -> Complex[Array, "..."]:
    """Centred k-space (..., h, w) with zeros around it, (..., H, W)."""
    whole = jnp.zeros((*kspace.shape[:-2], *shape), kspace.dtype)
    return whole.at[(..., *central(shape, (kspace.shape[-2], kspace.shape[-1])))].set(kspace)
