"""What a scanner of lower resolution sees: blur in the plane, decimation, and thicker slices."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.filters import gaussian_weights
from rnst_jax.physics.base import LinearPhysics
from rnst_jax.types import Scalar, pytree


def gaussian_kernel(width: Scalar, radius: int) -> Float[Array, "size size"]:
    """g[m, n] ~ exp(-(m^2 + n^2) / (2 width^2)), |m|, |n| <= radius, sum 1; the width (pixels) may be traced.

    Examples:
        >>> gaussian_kernel(0.0, 1).tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    weights = gaussian_weights(width, radius)
    return jnp.outer(weights, weights)


@pytree
class Blur(LinearPhysics):
    """Circular convolution with a kernel: y = F^H (k F x), the image wraps around at its borders.

    With k the kernel's transfer function the proximal step is x = F^H (F z + gamma conj(k) F y) / (1 + gamma |k|^2).

    Attributes:
        kernel: (h, w), real, its origin at index (h // 2, w // 2); not larger than the image.
        shape: of the images, static.

    Examples:
        >>> import jax.numpy as jnp
        >>> Blur(jnp.ones((1, 3)) / 3, (1, 4)).forward(jnp.array([[3.0, 0.0, 0.0, 0.0]])).round(4).tolist()
        [[1.0, 1.0, 0.0, 1.0]]
    """

    kernel: Float[Array, "h w"]
    shape: tuple[int, int] = jax.tree.static()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As given."""
        return self.shape

    def forward(self, x: Array) -> Array:
        """F^H k F x."""
        return jnp.fft.ifft2(self._transfer() * jnp.fft.fft2(x)).real

    def adjoint(self, y: Array) -> Array:
        """F^H conj(k) F y."""
        return jnp.fft.ifft2(jnp.conj(self._transfer()) * jnp.fft.fft2(y)).real

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """The closed form, see the class."""
        k = self._transfer()
        right = jnp.fft.fft2(z) + gamma * jnp.conj(k) * jnp.fft.fft2(y)
        return jnp.fft.ifft2(right / (1 + gamma * jnp.square(jnp.abs(k)))).real

    def _transfer(self) -> Array:
        h, w = self.kernel.shape
        placed = jnp.zeros(self.shape, self.kernel.dtype).at[:h, :w].set(self.kernel)
        return jnp.fft.fft2(jnp.roll(placed, (-(h // 2), -(w // 2)), (0, 1)))


@pytree
class Decimation(LinearPhysics):
    """Every so many-th pixel: y[m, n] = x[a m, b n]; after a `Blur` by `Composition`, a coarser matrix.

    A A^H = 1, so the proximal step is x = z + gamma / (1 + gamma) A^H (y - A z).

    Attributes:
        factors: (a, b), static.
        shape: of the images, static.

    Examples:
        >>> import jax.numpy as jnp
        >>> Decimation((2, 2), (4, 4)).forward(jnp.arange(16.0).reshape(4, 4)).tolist()
        [[0.0, 2.0], [8.0, 10.0]]
    """

    factors: tuple[int, int] = jax.tree.static()
    shape: tuple[int, int] = jax.tree.static()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As given."""
        return self.shape

    def forward(self, x: Array) -> Array:
        """x[::a, ::b]."""
        return x[:: self.factors[0], :: self.factors[1]]

    def adjoint(self, y: Array) -> Array:
        """The pixels at their place, 0 between them."""
        return jnp.zeros(self.shape, y.dtype).at[:: self.factors[0], :: self.factors[1]].set(y)

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """The closed form, see the class."""
        return z + gamma / (1 + gamma) * self.adjoint(y - self.forward(z))


@pytree
class SliceProfile(LinearPhysics):
    """Thick slices from thin ones: y[k] = sum_t w[t] x[step k + t], along the first axis of a stack.

    Where thick slices do not share thin ones (step >= number of weights), A A^H = |w|^2 and the proximal step
    is x = z + gamma A^H (y - A z) / (1 + gamma |w|^2); where they overlap it is found by conjugate gradients.

    Attributes:
        weights: w, the slice profile, sampled at the thin slices; sum 1 keeps the intensities.
        step: distance of the thick slices, in thin ones; static.
        shape: of x, (thin slices, H, W) or any other that has the slices first; static.

    Examples:
        >>> import jax.numpy as jnp
        >>> SliceProfile(jnp.ones(2) / 2, 2, (4, 1, 1)).forward(jnp.arange(4.0).reshape(4, 1, 1)).ravel().tolist()
        [0.5, 2.5]
    """

    weights: Float[Array, " taps"]
    step: int = jax.tree.static()
    shape: tuple[int, ...] = jax.tree.static()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As given."""
        return self.shape

    def forward(self, x: Array) -> Array:
        """sum_t w[t] x[step k + t]; thick slices that would reach beyond the stack are left out."""
        taps = self.weights.shape[0]
        thick = (self.shape[0] - taps) // self.step + 1
        index = self.step * jnp.arange(thick) + jnp.arange(taps)[:, None]
        return jnp.tensordot(self.weights, x[index], 1)

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """The closed form where there is one, see the class."""
        if self.step < self.weights.shape[0]:
            return super().prox(z, y, gamma)
        power = jnp.sum(jnp.square(self.weights))
        return z + gamma / (1 + gamma * power) * self.adjoint(y - self.forward(z))
