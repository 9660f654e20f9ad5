"""Cartesian sampling of k-space: the centred, orthonormal discrete Fourier transform and a mask."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.precision import wide
from rnst_jax.types import Scalar, pytree

_AXES = (-2, -1)


def fft2c(x: Array) -> Complex[Array, "..."]:
    """F x: the unitary 2-D Fourier transform over the last two axes, centred.

    y[u, v] = (H W)^(-1/2) sum_mn x[m, n] exp(-2 pi i ((u - u0)(m - m0) / H + (v - v0)(n - n0) / W)), where the origin
    of images and of frequencies is at the index size // 2 of either axis.

    Args:
        x: real or complex, (..., H, W); half precision is raised to single.

    Examples:
        >>> import jax.numpy as jnp
        >>> fft2c(jnp.ones((2, 4))).real.tolist()
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.8284270763397217, 0.0]]
    """
    x = wide(x, jnp.complex64)
    return jnp.fft.fftshift(jnp.fft.fft2(jnp.fft.ifftshift(x, _AXES), norm="ortho"), _AXES)


def ifft2c(y: Array) -> Complex[Array, "..."]:
    """F^H y, the inverse of `fft2c`.

    Examples:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
        >>> ifft2c(fft2c(x)).real.round(4).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    y = wide(y, jnp.complex64)
    return jnp.fft.fftshift(jnp.fft.ifft2(jnp.fft.ifftshift(y, _AXES), norm="ortho"), _AXES)


def mirrored(w: Array) -> Array:
    """w(-f) for an array of centred frequencies f, (..., H, W).

    Examples:
        >>> import jax.numpy as jnp
        >>> mirrored(jnp.array([[-2, -1, 0, 1]])).tolist()
        [[-2, 1, 0, -1]]
    """
    for axis in _AXES:
        n = w.shape[axis]
        w = jnp.take(w, (2 * (n // 2) - jnp.arange(n)) % n, axis)
    return w


@pytree
class Fourier(LinearPhysics):
    """Single-coil Cartesian k-space: y = M F x, zero where it is not sampled.

    F is `fft2c`. The proximal step has a closed form for every mask. Complex images: with W = M^2,
    x = F^H (F z + gamma M y) / (1 + gamma W). Real images: Re F^H W F = F^H W' F with W'(f) = (W(f) + W(-f)) / 2,
    so the same with W' in the place of W and the real part of F^H M y.

    Attributes:
        mask: M, (H, W), 1 where a coefficient was measured and 0 elsewhere; other numbers weight it.
        complex_images: whether x is complex; static.

    Examples:
        >>> import jax.numpy as jnp
        >>> physics = Fourier(jnp.zeros((4, 4)).at[2, 2].set(1.0))   # the mean alone
        >>> y = physics.forward(jnp.ones((4, 4)))
        >>> y[2, 2].item(), physics.adjoint(y)[0, 0].item()
        ((4+0j), 1.0)
    """

    mask: Float[Array, "height width"]
    complex_images: bool = jax.tree.static(default=False)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of the mask."""
        return self.mask.shape

    def forward(self, x: Array) -> Array:
        """M F x."""
        return self.mask * fft2c(x)

    def adjoint(self, y: Array) -> Array:
        """F^H M y, or its real part."""
        return self._image(ifft2c(self.mask * y))

    def normal(self, x: Array) -> Array:
        """F^H M^2 F x, or its real part."""
        return self._image(ifft2c(jnp.square(self.mask) * fft2c(x)))

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """The closed form, see the class."""
        w = jnp.square(self.mask)
        w = w if self.complex_images else (w + mirrored(w)) / 2
        return self._image(ifft2c(fft2c(z + gamma * self.adjoint(y)) / (1 + gamma * w)))
