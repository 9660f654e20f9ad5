"""The base of all forward models: adjoint, normal map and proximal step derived from ``forward``."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnst_jax.linalg import adjoint, conjugate_gradient
from rnst_jax.types import Scalar

_STEPS = 500
"""Of conjugate gradients, at most."""


class LinearPhysics:
    """A linear forward model y = A x; a subclass gives ``forward`` and ``image_shape``.

    Everything else follows: the adjoint by transposition, the proximal step by conjugate gradients. A subclass with
    a closed form overrides them. Subclasses are frozen dataclasses registered as pytrees (`rnst_jax.types.pytree`).

    Images are real unless ``complex_images`` says otherwise: then <A x, y> stands for its real part, and A^H y is the
    real part of what it would be among complex images.
    """

    complex_images: bool = False
    """Whether x is complex; a subclass may make this a static field."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of x."""
        raise NotImplementedError(f"{type(self).__name__} must give image_shape")

    def forward(self, x: Array) -> Array:
        """A x."""
        raise NotImplementedError(f"{type(self).__name__} must give forward")

    def adjoint(self, y: Array) -> Array:
        """A^H y; in the real images: its real part, where A maps to complex numbers."""
        dtype = jnp.finfo(y.dtype).dtype
        if self.complex_images:
            dtype = jnp.promote_types(dtype, jnp.complex64)
        return adjoint(self.forward, jax.ShapeDtypeStruct(self.image_shape, dtype))(y)

    def normal(self, x: Array) -> Array:
        """A^H A x."""
        return self.adjoint(self.forward(x))

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """argmin_x gamma/2 ||A x - y||^2 + 1/2 ||x - z||^2.

        Conjugate gradients on (I + gamma A^H A) x = z + gamma A^H y, at most 500 steps: enough for gamma up to some
        1e4 times 1 / ||A||^2, beyond which float32 does not tell.
        """
        start, right = z, z + gamma * self.adjoint(y)
        x, _ = conjugate_gradient(lambda x: x + gamma * self.normal(x), right, start, max_steps=_STEPS)
        return x

    def _image(self, x: Array) -> Array:
        """Among complex numbers, what counts as an image: its real part, or all of it."""
        return x if self.complex_images else x.real
