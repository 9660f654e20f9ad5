"""Total-variation denoising (Rudin, Osher and Fatemi)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree


@pytree
class TotalVariation:
    """argmin_u 1/2 ||u - x||^2 + lambda sum |grad u| with lambda = weight sigma and isotropic forward differences.

    Solved in the dual by accelerated projected gradients: u = x + div q over fields |q| <= lambda, with the step 1/8
    that the norm of the divergence allows. Homogeneous: D(a x, a sigma) = a D(x, sigma).

    Attributes:
        weight: lambda in units of sigma, 0 or more.
        iterations: steps of the dual method (static).

    Source: Rudin, Osher and Fatemi, Physica D 60 (1992), for the model; Chambolle, J. Math. Imaging Vis. 20 (2004), for
    the dual; Beck and Teboulle, IEEE TIP 18 (2009), section IV, for the accelerated method.

    Examples:
        >>> import jax.numpy as jnp
        >>> TotalVariation(weight=1.25)(jnp.array([[0.0, 0.0], [1.0, 1.0]]), 0.1).tolist()
        [[0.125, 0.125], [0.875, 0.875]]
    """

    weight: Scalar = 0.85
    iterations: int = jax.tree.static(default=50)

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; sigma in units of x, 0 or more."""
        dtype, x = x.dtype, wide(x)
        bound = jnp.square(self.weight * jnp.asarray(sigma, x.dtype))

        def project(q):
            # rsqrt of a maximum, and not a division by the length: its derivative at q = 0 is finite.
            return q * jnp.sqrt(bound) * jax.lax.rsqrt(jnp.maximum(jnp.maximum(jnp.sum(q**2, 0), bound), 1e-30))

        def iterate(k, state):
            q, r = state
            q_new = project(r + _gradient(x + _divergence(r)) / 8)
            return q_new, q_new + k / (k + 3) * (q_new - q)

        zero = jnp.zeros((2, *x.shape), x.dtype)
        q, _ = jax.lax.fori_loop(0, self.iterations, iterate, (zero, zero))
        return (x + _divergence(q)).astype(dtype)


def _gradient(u: Image) -> Float[Array, "2 height width"]:
    rows = jnp.pad(u[1:] - u[:-1], ((0, 1), (0, 0)))
    cols = jnp.pad(u[:, 1:] - u[:, :-1], ((0, 0), (0, 1)))
    return jnp.stack([rows, cols])


def _divergence(q: Float[Array, "2 height width"]) -> Image:
    """The negative adjoint of `_gradient`; the last row of q[0] and the last column of q[1] are zero."""
    rows = q[0] - jnp.pad(q[0, :-1], ((1, 0), (0, 0)))
    cols = q[1] - jnp.pad(q[1, :, :-1], ((0, 0), (1, 0)))
    return rows + cols
