"""A = I: the measurement is the image."""

from jaxtyping import Array

from rnst_jax.types import Scalar, pytree


@pytree
class Identity:
    """The forward model A x = x, for scans that come as reconstructed images.

    Examples:
        >>> import jax.numpy as jnp
        >>> Identity().prox(jnp.zeros(1), jnp.ones(1), 3.0).item()
        0.75
    """

    def forward(self, x: Array) -> Array:
        """A x = x."""
        return x

    def adjoint(self, y: Array) -> Array:
        """A^H y = y."""
        return y

    def normal(self, x: Array) -> Array:
        """A^H A x = x."""
        return x

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """(z + gamma y) / (1 + gamma), the closed form of the proximal step."""
        return (z + gamma * y) / (1 + gamma)
