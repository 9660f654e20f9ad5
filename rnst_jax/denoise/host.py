"""Denoisers that run on the host: any NumPy function as a D(x, sigma)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rnst_jax.types import Image, Scalar, pytree


@pytree
class Host:
    """D(x, sigma) = fn(x, sigma), called outside of the compiled program through ``jax.pure_callback``.

    Works under jit; under vmap the images go one after the other. It has no derivative. Each call waits for the
    copy to the host and back. An x or sigma that is not finite gives NaN everywhere without a call of fn, since many
    libraries crash on it or hide it.

    Attributes:
        fn: (H, W) float32 NumPy array, Python float -> (H, W) array; a pure function (static: another function, even an
            equal lambda, compiles again).

    Raises:
        ValueError: on a call, when fn returns another shape (raised within JAX's own error).

    Examples:
        >>> import jax.numpy as jnp
        >>> Host(lambda x, sigma: x - sigma)(jnp.ones((1, 2)), 0.25).tolist()
        [[0.75, 0.75]]
    """

    fn: Callable[[np.ndarray, float], np.ndarray] = jax.tree.static()

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; sigma in units of x."""

        def call(x, sigma):
            x, sigma = np.asarray(x), float(sigma)
            if not (np.isfinite(x).all() and np.isfinite(sigma)):
                return np.full_like(x, np.nan)
            out = np.asarray(self.fn(x, sigma), x.dtype)
            if out.shape != x.shape:
                raise ValueError(f"the host denoiser returned shape {out.shape} for an image of shape {x.shape}")
            return out

        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(call, shape, x, jnp.asarray(sigma, x.dtype), vmap_method="sequential")
