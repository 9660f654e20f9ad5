"""Non-Cartesian k-space through FINUFFT (the extra ``nufft``)."""

import functools
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.precision import wide
from rnst_jax.types import pytree


@pytree
class NonUniformFourier(LinearPhysics):
    """y[j] = (H W)^(-1/2) sum_mn x[m, n] exp(-2 pi i (u_j (m - m0) + v_j (n - n0))), m0 = H // 2, n0 = W // 2.

    At the frequencies of the Cartesian grid, u = (k - H // 2) / H, this is `rnst_jax.physics.fft2c`. The sums are
    computed by the non-uniform FFT to a relative error of about 1e-6 (float32) or 1e-13 (float64). The proximal
    step is found by conjugate gradients. It can be differentiated in x and y in reverse mode, not in the points: their
    gradient is 0.

    Attributes:
        points: (J, 2) the frequencies (u, v) in cycles per pixel, within -1/2 and 1/2.
        shape: of the images, static.
        weights: (J,) weights of the samples, the square root of a density compensation, say; all 1 by default.
        complex_images: whether x is complex; static.

    Raises:
        ImportError: when used: the package jax-finufft is not installed.

    Source: Barnett, Magland and af Klinteberg, SIAM J. Sci. Comput. 41 (2019), for the algorithm.
    """

    points: Float[Array, "samples 2"]
    shape: tuple[int, int] = jax.tree.static()
    weights: Float[Array, " samples"] | float = 1.0
    complex_images: bool = jax.tree.static(default=False)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As given."""
        return self.shape

    def forward(self, x: Array) -> Array:
        """The samples, (J,)."""
        x = wide(x, jnp.complex64)
        return self._gain(x) * _to_points(x, *self._angles(x))

    def adjoint(self, y: Array) -> Array:
        """sum_j w_j y_j exp(2 pi i (...)) / (H W)^(1/2), or its real part."""
        return self._image(_to_grid(self._gain(y) * y, *self._angles(y), self.shape))

    def _angles(self, like: Array) -> tuple[Array, Array]:
        angles = (2 * jnp.pi * jnp.asarray(self.points)).astype(jnp.finfo(like.dtype).dtype)
        return angles[:, 0], angles[:, 1]

    def _gain(self, like: Array) -> Array:
        size = self.shape[0] * self.shape[1]
        return (jnp.asarray(self.weights) / size**0.5).astype(jnp.finfo(like.dtype).dtype)


# jax-finufft 1.3.1 cannot be mapped under jax 0.10 (its issue 227), so a batch is a loop here. Such a loop has no
# gradient of its own: the custom ones below are the adjoints, and know of the image and the samples only.


@jax.custom_vjp
def _to_points(x: Array, u: Array, v: Array) -> Array:
    @jax.custom_batching.sequential_vmap
    def transform(x, u, v):
        return _finufft().nufft2(x, u, v, iflag=-1, eps=_eps(x))

    return transform(x, u, v)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _to_grid(y: Array, u: Array, v: Array, shape: tuple[int, int]) -> Array:
    @jax.custom_batching.sequential_vmap
    def transform(y, u, v):
        return _finufft().nufft1(shape, y, u, v, iflag=1, eps=_eps(y))

    return transform(y, u, v)


def _points_forward(x, u, v):
    return _to_points(x, u, v), (jnp.zeros_like(x), u, v)


def _points_backward(saved, y):
    like, u, v = saved
    # a cotangent of complex numbers is conjugated: A^T = conj A^H conj
    return jnp.conj(_to_grid(jnp.conj(y), u, v, like.shape)), jnp.zeros_like(u), jnp.zeros_like(v)


def _grid_forward(y, u, v, shape):
    return _to_grid(y, u, v, shape), (u, v)


def _grid_backward(shape, saved, x):
    u, v = saved
    return jnp.conj(_to_points(jnp.conj(x), u, v)), jnp.zeros_like(u), jnp.zeros_like(v)


_to_points.defvjp(_points_forward, _points_backward)
_to_grid.defvjp(_grid_forward, _grid_backward)


def _eps(x: Array) -> float:
    return 1e-13 if x.dtype == jnp.complex128 else 1e-6


def _finufft() -> Any:
    if importlib.util.find_spec("jax_finufft") is None:
        raise ImportError("NonUniformFourier needs jax-finufft; pip install 'rnst-jax[nufft]'")
    return importlib.import_module("jax_finufft")
