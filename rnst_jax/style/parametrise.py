"""What the style engine may change in an image: every pixel, or only how its intensities are mapped."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.types import Image, Scalar, pytree


class Parametrisation(Protocol):
    """A family of images T(n) = render(p, n) made from a denoised image n."""

    def start(self, n: Array) -> Any:
        """The parameters that give n back."""
        ...

    def project(self, p: Any) -> Any:
        """The nearest allowed parameters."""
        ...

    def render(self, p: Any, n: Array) -> Array:
        """The image."""
        ...

    def penalty(self, p: Any) -> Float[Array, ""]:
        """A cost of the parameters, added to the loss."""
        ...


@pytree
class Pixels:
    """Every pixel is free in [0, 1]: the published engine. It can invent texture and anatomy."""

    def start(self, n: Array) -> Array:
        """The image n."""
        return n

    def project(self, p: Array) -> Array:
        """Clip to [0, 1]."""
        return jnp.clip(p, 0.0, 1.0)

    def render(self, p: Array, n: Array) -> Array:
        """The image p."""
        del n
        return p

    def penalty(self, p: Array) -> Float[Array, ""]:
        """None."""
        del p
        return jnp.zeros(())


@pytree
class IntensityMap:
    """T(n) = g(n) with a rising piecewise linear map g: the contrast may change, the anatomy cannot.

    With knots at k / (K - 1) and p = (g_0, slopes), g(t) = clip(g_0 + integral of max(slope, 0) from 0 to t, 0, 1).
    Every edge of the result is an edge of n, so nothing of the style patient can appear in it.

    Attributes:
        stiffness: weight of the penalty mean (slope_{k+1} - slope_k)^2 + mean (slope - 1)^2 / 10, which keeps the map
            smooth and near the identity where the image says nothing.
        knots: number K of knots, static.

    Examples:
        >>> import jax.numpy as jnp
        >>> family, n = IntensityMap(knots=5), jnp.array([[0.0, 0.3, 1.0]])
        >>> bool(jnp.allclose(family.render(family.start(n), n), n))
        True
    """

    stiffness: Scalar = 0.0
    knots: int = jax.tree.static(default=16)

    def start(self, n: Image) -> Float[Array, " knots"]:
        """The identity."""
        del n
        return jnp.ones(self.knots).at[0].set(0.0)

    def project(self, p: Float[Array, " knots"]) -> Float[Array, " knots"]:
        """Slopes at least zero, g_0 in [0, 1]."""
        return jnp.maximum(p, 0.0).at[0].set(jnp.clip(p[0], 0.0, 1.0))

    def render(self, p: Float[Array, " knots"], n: Image) -> Image:
        """The image g(n)."""
        # a sum of ramps, not jnp.interp: its gradient is a matrix product instead of a scatter
        width = 1.0 / (self.knots - 1)
        ramps = jnp.clip(n[..., None] - width * jnp.arange(self.knots - 1), 0.0, width)
        return jnp.clip(p[0] + ramps @ jnp.maximum(p[1:], 0.0), 0.0, 1.0)

    def penalty(self, p: Float[Array, " knots"]) -> Float[Array, ""]:
        """Roughness of the slopes and their distance from 1."""
        slopes = p[1:]
        bends = jnp.sum(jnp.diff(slopes) ** 2) / max(self.knots - 2, 1)  # two knots have one slope and no bend
        return self.stiffness * (bends + jnp.mean((slopes - 1) ** 2) / 10)
