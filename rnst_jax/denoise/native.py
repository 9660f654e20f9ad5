"""Denoising at the resolution that a scan was measured with, before it was zero-filled to more pixels."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from rnst_jax.filters import separable
from rnst_jax.order import quantile
from rnst_jax.precision import wide
from rnst_jax.types import Denoiser, Image, Scalar, pytree

_NEAR = 5
"""Pixels of a side of where the energy of the rest is averaged."""
_LEAST = 1e-12


@pytree
class AtNativeResolution:
    """D(x, sigma) = max(W U denoiser(C x, sigma) + g r, 0): C keeps the low spatial frequencies, U is zero-filling.

    Scanners often fill k-space with zeros, which interpolates the image. Its noise is then correlated, and a denoiser
    made for white noise takes it for structure. C crops the 2-D Fourier transform to 1 / factor of its size along
    each axis (rounded up), where the noise is white again; U puts zeros back around it. Both keep mean and
    amplitude, and so sigma, which zero-filling does not change. Where a cropped size is even, C adds the coefficients
    at plus and minus its Nyquist frequency, and U gives each a half: C U = 1.

    An image that was zero-filled by factor or more is U C x exactly. Others have a rest r = x - U C x, finer than
    factor pixels, as where k-space ends smoothly. Without ``beyond`` it is lost (g = 0), also at sigma = 0; with it
    g = max(0, 1 - c s^2 / e) is an empirical Wiener filter, s = 1.4826 median |r| over the pixels above 0, which is
    the noise's standard deviation there, and e the mean of r^2 over 5 x 5 pixels.

    W multiplies frequency f (cycles per pixel) by exp(-2 pi^2 a^2 f^2), a the apodisation: a smooth end of k-space
    rings less at edges. Values below 0, where U still rings, become 0.

    Attributes:
        denoiser: the D(x, sigma) used in between.
        factor: of the zero-filling, along both axes or along rows and columns (static), 1 or more; the image wraps
            around at its borders.
        apodisation: a, the standard deviation in pixels of the blur that W is; 0 leaves W out.
        beyond: c, how many times its noise the rest must have to be kept; None, a static choice, leaves r out.

    Examples:
        >>> from rnst_jax.denoise.identity import Identity
        >>> AtNativeResolution(Identity())(jnp.array([[1.0, 3.0, 1.0, 3.0]]), 0.1).round(4).tolist()
        [[2.0, 2.0, 2.0, 2.0]]
    """

    denoiser: Denoiser
    factor: float | tuple[float, float] = jax.tree.static(default=2)
    apodisation: Scalar = 0.0
    beyond: Scalar | None = None

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image.

        Args:
            x: the image, 0 or more but for noise; any real floating dtype, which is also the result's.
            sigma: in units of x, as the inner denoiser takes it.

        Raises:
            ValueError: factor is less than 1.
        """
        factors = self.factor if isinstance(self.factor, tuple) else (self.factor, self.factor)
        if min(factors) < 1:
            raise ValueError(f"factor must be 1 or more, not {self.factor}")
        small = _of_shape(x, [math.ceil(n / factor) for n, factor in zip(x.shape, factors, strict=True)])
        out = _of_shape(self.denoiser(small, sigma), x.shape, self.apodisation)
        if self.beyond is not None:
            out = out + wiener(x - _of_shape(small, x.shape), x > 0, self.beyond)
        return jnp.maximum(out, 0)


def wiener(r: Image, inside: Bool[Array, "height width"], strictness: Scalar) -> Image:
    """What stands out of the noise of an image of mean 0, see `AtNativeResolution`; also where it is not inside.

    Examples:
        >>> r = 0.01 * jax.random.normal(jax.random.key(0), (32, 32)).at[16, 16].set(100.0)
        >>> kept = wiener(r, jnp.full(r.shape, True), 4.0)
        >>> round(kept[16, 16].item(), 1), bool(jnp.abs(kept[:8]).max() < 1e-6)
        (1.0, True)
    """
    noise = 1.4826 * quantile(jnp.abs(r), inside, 0.5)
    energy = separable(jnp.square(r), jnp.full(_NEAR, 1 / _NEAR, r.dtype))
    # without a pixel inside there is no noise to compare with
    kept = 1 - strictness * jnp.square(noise) / jnp.maximum(energy, _LEAST)
    return (r * jnp.maximum(jnp.where(jnp.isnan(noise), 0, kept), 0)).astype(r.dtype)


def _of_shape(x: Image, shape: Sequence[int], apodisation: Scalar = 0.0) -> Image:
    """`resized` along all axes."""
    for axis, size in enumerate(shape):
        x = resized(x, size, axis, apodisation)
    return x


def resized(x: Image, size: int, axis: int, apodisation: Scalar = 0.0) -> Image:
    """Crop the Fourier transform along an axis to ``size``, or fill it with zeros; blur by so many new pixels."""
    n = x.shape[axis]
    # no transform takes half precision
    spectrum = jnp.fft.rfft(wide(x), axis=axis)
    shared = min(n, size)
    spectrum = jax.lax.slice_in_dim(spectrum, 0, shared // 2 + 1, axis=axis)
    if n != size and shared % 2 == 0:
        at = (slice(None),) * axis + (shared // 2,)
        spectrum = spectrum.at[at].set(spectrum[at].real * (2 if size < n else 0.5))
    f = jnp.arange(shared // 2 + 1, dtype=spectrum.real.dtype) / size
    window = jnp.exp(-2 * jnp.square(jnp.pi * jnp.asarray(apodisation, f.dtype) * f))
    spectrum = spectrum * jnp.expand_dims(window, tuple(k for k in range(x.ndim) if k != axis))
    return (jnp.fft.irfft(spectrum, size, axis=axis) * (size / n)).astype(x.dtype)
