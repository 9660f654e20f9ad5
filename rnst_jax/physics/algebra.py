"""Forward models made of forward models: products, weighted sums and stacks."""

import jax.numpy as jnp
from jaxtyping import Array

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.types import Physics, pytree


@pytree
class Composition(LinearPhysics):
    """A x = outer(inner(x)), for example a `Decimation` of a `Blur`; the proximal step by conjugate gradients.

    Attributes:
        outer: applied last.
        inner: applied first, a `LinearPhysics`: it tells the shape of x.

    Examples:
        >>> import jax.numpy as jnp
        >>> from rnst_jax.physics import Blur, Decimation
        >>> coarse = Composition(Decimation((1, 2), (1, 4)), Blur(jnp.ones((1, 2)) / 2, (1, 4)))
        >>> coarse.forward(jnp.array([[1.0, 3.0, 5.0, 7.0]])).round(4).tolist()
        [[2.0, 6.0]]
    """

    outer: Physics
    inner: LinearPhysics

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of the inner model."""
        return self.inner.image_shape

    def forward(self, x: Array) -> Array:
        """outer(inner(x))."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Array) -> Array:
        """inner^H(outer^H(y))."""
        return self.inner.adjoint(self.outer.adjoint(y))


@pytree
class Sum(LinearPhysics):
    """A x = sum_k w_k A_k x; the proximal step by conjugate gradients.

    Attributes:
        parts: the A_k, with equal shapes of x and of y; the first is a `LinearPhysics`.
        weights: w, real, one per part.

    Examples:
        >>> import jax.numpy as jnp
        >>> from rnst_jax.physics import Blur
        >>> one, shift = Blur(jnp.ones((1, 1)), (1, 2)), Blur(jnp.array([[1.0, 0.0]]), (1, 2))
        >>> Sum((one, shift), jnp.array([1.0, 0.5])).forward(jnp.array([[2.0, 0.0]])).tolist()
        [[2.0, 1.0]]
    """

    parts: tuple[Physics, ...]
    weights: Array

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of the parts."""
        return _shape(self.parts)

    def forward(self, x: Array) -> Array:
        """sum_k w_k A_k x."""
        return sum((w * part.forward(x) for w, part in self._pairs()), start=jnp.zeros((), x.dtype))

    def adjoint(self, y: Array) -> Array:
        """sum_k w_k A_k^H y."""
        terms = [w * part.adjoint(y) for w, part in self._pairs()]
        return sum(terms[1:], start=terms[0])

    def _pairs(self) -> list[tuple[Array, Physics]]:
        return [(self.weights[k], part) for k, part in enumerate(self.parts)]


@pytree
class Stack(LinearPhysics):
    """Several measurements of one image: y[k] = w_k A_k x; the proximal step by conjugate gradients.

    Attributes:
        parts: the A_k, with equal shapes of x and of y; the first is a `LinearPhysics`.
        weights: w, real, one per part: the inverse standard deviation of its noise, say.

    Examples:
        >>> import jax.numpy as jnp
        >>> from rnst_jax.physics import Decimation
        >>> parts = (Decimation((1, 2), (1, 4)), Decimation((1, 2), (1, 4)))
        >>> Stack(parts, jnp.array([1.0, 2.0])).forward(jnp.arange(4.0)[None]).tolist()
        [[[0.0, 2.0]], [[0.0, 4.0]]]
    """

    parts: tuple[Physics, ...]
    weights: Array

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of the parts."""
        return _shape(self.parts)

    def forward(self, x: Array) -> Array:
        """The measurements, stacked along a new first axis."""
        return jnp.stack([self.weights[k] * part.forward(x) for k, part in enumerate(self.parts)])

    def adjoint(self, y: Array) -> Array:
        """sum_k w_k A_k^H y[k]."""
        terms = [self.weights[k] * part.adjoint(y[k]) for k, part in enumerate(self.parts)]
        return sum(terms[1:], start=terms[0])


def _shape(parts: tuple[Physics, ...]) -> tuple[int, ...]:
    assert isinstance(parts[0], LinearPhysics), "the first part must tell the shape of x"
    return parts[0].image_shape
