"""Several receive coils (SENSE), and their sensitivities from the centre of k-space."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from rnst_jax.physics.base import LinearPhysics
from rnst_jax.physics.fourier import fft2c, ifft2c
from rnst_jax.types import pytree


@pytree
class Sense(LinearPhysics):
    """Multi-coil Cartesian k-space: y_c = M F (S_c x).

    F is `rnst_jax.physics.fft2c`. One coil whose map is exp(i phase) is the model of phase-constrained
    reconstruction: x is real, and half of k-space says nearly all about it (partial Fourier).

    Attributes:
        maps: S, (C, H, W) complex64, the sensitivity of each coil; with sum_c |S_c|^2 = 1 the image has the scale
            of a root sum of squares.
        mask: M, (H, W), or (C, H, W) for one mask per coil.
        complex_images: whether x is complex; static.

    Source: Pruessmann et al., Magn. Reson. Med. 42 (1999).

    Examples:
        >>> import jax.numpy as jnp
        >>> physics = Sense(jnp.full((2, 4, 4), 2**-0.5 + 0j), jnp.ones((4, 4)))
        >>> y = physics.forward(jnp.eye(4))
        >>> y.shape, physics.adjoint(y).round(3)[0].tolist()
        ((2, 4, 4), [1.0, 0.0, 0.0, 0.0])
    """

    maps: Complex[Array, "coils height width"]
    mask: Float[Array, "..."]
    complex_images: bool = jax.tree.static(default=False)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of a map."""
        return self.maps.shape[-2:]

    def forward(self, x: Array) -> Array:
        """M F (S_c x), (C, H, W)."""
        return self.mask * fft2c(self.maps * x)

    def adjoint(self, y: Array) -> Array:
        """sum_c conj(S_c) F^H (M y_c), or its real part."""
        return self._image(jnp.sum(jnp.conj(self.maps) * ifft2c(self.mask * y), axis=0))


def estimate_sensitivity(
    kspace: Complex[Array, "coils height width"], size: tuple[int, int] = (24, 24)
) -> Complex[Array, "coils height width"]:
    """S_c = c_c / (sum_c |c_c|^2)^(1/2), with c_c the image of the centre of coil c's k-space.

    The centre is a window of ``size`` coefficients, a Hann window in either direction so that sensitivities do not
    ring. sum_c |S_c|^2 = 1 everywhere, in air too. The maps hold the slow phase of the image: x is real in the
    model `Sense` but for faster changes of phase. For one coil |S| = 1, a map of phase alone.

    Args:
        kspace: centred, zero where nothing was measured; the window should be sampled in full.
        size: rows and columns of the window, static; small enough that the coils are smooth, large enough that they
            are not constant. It is symmetric: an even size has one coefficient more, at its lower and its upper end.

    Returns:
        The maps, the dtype of ``kspace``; 1 / sqrt(C) for all coils where all their images are exactly 0.

    Raises:
        ValueError: the window is larger than k-space.

    Source: Roemer et al., Magn. Reson. Med. 16 (1990); McKenzie et al., Magn. Reson. Med. 47 (2002), for the
    self-calibration from the centre.

    Examples:
        >>> import jax.numpy as jnp
        >>> maps = estimate_sensitivity(fft2c(jnp.stack([3j, 4 + 0j])[:, None, None] * jnp.ones((2, 8, 8))), (4, 4))
        >>> maps[:, 0, 0].round(3).tolist()
        [0.6000000238418579j, (0.800000011920929+0j)]
    """
    if any(window > side for window, side in zip(size, kspace.shape[-2:], strict=True)):
        raise ValueError(f"a window of {size} does not fit into k-space of {kspace.shape[-2:]}")
    rows, columns = (_hann(window, side) for window, side in zip(size, kspace.shape[-2:], strict=True))
    coils = ifft2c(rows[:, None] * columns * kspace)
    total = jnp.sqrt(jnp.sum(jnp.square(jnp.abs(coils)), axis=0))
    flat = 1 / jnp.sqrt(jnp.float32(len(coils)))
    return jnp.where(total > 0, coils / jnp.where(total > 0, total, 1), flat).astype(kspace.dtype)


def _hann(window: int, side: int) -> Float[Array, " side"]:
    """cos^2 around the index side // 2, 0 from window / 2 + 1/2 indices on."""
    distance = jnp.abs(jnp.arange(side) - side // 2) / (window + 1)
    return jnp.where(distance < 0.5, jnp.square(jnp.cos(jnp.pi * distance)), 0.0)
