"""What a scanner adds to a noiseless magnitude image: k-space truncation, interference, noise of one or more coils."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from rnst_jax.physics.validity import check_range
from rnst_jax.types import Image, PRNGKey, Scalar

EXPONENTS = (1.0, 1.75)
"""Of SNR against field: the body's noise dominates, the coil's noise dominates (Hoult and Lauterbur 1979)."""


def snr_ratio(
    field: Scalar,
    from_field: Scalar,
    *,
    exponent: Scalar = 1.5,
    voxel: Scalar = 1.0,
    averages: Scalar = 1.0,
    bandwidth: Scalar = 1.0,
) -> Array:
    """SNR(B) / SNR(B') = (B / B')^p v sqrt(n / b) for a signal of the same relaxation weighting.

    Args:
        field: B in T.
        from_field: B' in T.
        exponent: p, from 1 (the noise of the body dominates) to 7/4 (that of the coil does); 3/2 is the usual value
            between them for a head at low field.
        voxel: v, the ratio of voxel volumes.
        averages: n, the ratio of the numbers of averages (or of the total readout times).
        bandwidth: b, the ratio of receiver bandwidths per pixel.

    Raises:
        ValueError: p is not from 1 to 7/4, or another number is not above 0.

    Sources: Hoult and Lauterbur, J. Magn. Reson. 34 (1979); Marques, Simonis and Webb, J. Magn. Reson. Imaging 49
    (2019).

    Examples:
        >>> round(float(snr_ratio(0.75, 3.0, voxel=8.0, bandwidth=0.25)), 6)
        2.0
    """
    given = {"field": field, "from_field": from_field, "voxel": voxel, "averages": averages, "bandwidth": bandwidth}
    for name, value in given.items():
        check_range(name, value, 0, above=True)
    check_range("exponent", exponent, *EXPONENTS)
    ratio = jnp.asarray(field, float) / from_field
    return ratio**exponent * voxel * jnp.sqrt(averages / jnp.asarray(bandwidth, float))


def k_space_window(n: int, keep: Scalar, taper: Scalar = 0.0) -> Float[Array, "n"]:
    """Weights of the n frequencies of an axis, in the order of ``jnp.fft.fft``: the inner share ``keep``, 0 outside.

    The sum of the weights without taper is n keep: where a frequency lies on the edge it counts in part, so that the
    window changes smoothly with ``keep`` and stays symmetric (a real image stays real). keep = 1 keeps everything.

    Args:
        n: samples of the axis, static.
        keep: acquired share of k-space, above 0 and at most 1: the pixel of the acquisition is 1 / keep pixels wide.
        taper: share of the kept half-axis over which a cosine leads to 0: 0 a rectangle, 1 a Hann window (Tukey).

    Raises:
        ValueError: a share is out of its range.

    Examples:
        >>> k_space_window(8, 0.5).tolist()
        [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.5, 1.0]
    """
    _check_window(keep, taper)
    return _weights(n, keep, taper)


@functools.partial(jax.jit, static_argnames="n")
def _weights(n: int, keep: Scalar, taper: Scalar) -> Float[Array, "n"]:
    k = jnp.abs(jnp.fft.fftfreq(n, 1 / n))
    edge = n * jnp.asarray(keep, float) / 2
    # for an even n the last frequency stands for both its ends
    inside = jnp.clip(edge - k + 0.5, 0, 1) * jnp.where(2 * k == n, 2, 1)
    depth = (edge + 0.5 - k) / (edge * jnp.maximum(taper, 1e-6))
    return inside * jnp.sin(jnp.pi / 2 * jnp.clip(depth, 0, 1)) ** 2


def truncate(
    image: Array, keep: Scalar | tuple[Scalar, Scalar], taper: Scalar = 0.0
) -> Complex[Array, "... height width"]:
    """F^-1 w F x: k-space outside of a centred rectangle is lost and filled with zeros, so the grid stays.

    Args:
        image: x, real or complex, (..., H, W).
        keep: shares of k-space kept along columns and along rows (or one for both), see `k_space_window`.
        taper: of the window; without it edges ring (Gibbs).

    Returns:
        Complex, the same shape; the imaginary part of a real image is rounding.

    Raises:
        ValueError: a share is out of its range.

    Examples:
        >>> x = jnp.zeros((4, 6)).at[1, 2].set(1.0)
        >>> round(float(truncate(x, 1.0).real[1, 2]), 5), round(float(truncate(x, (0.5, 1.0)).real[1, 2]), 5)
        (1.0, 0.5)
    """
    return _filter(image, _window(image.shape, keep, taper))


def line_noise(shape: tuple[int, ...], key: PRNGKey, strength: Scalar) -> Complex[Array, "height width"]:
    """The image of a tone that an unshielded receiver picks up: a stripe along the phase-encoding axis.

    In k-space the tone is exp(2 pi i f s + i phi_l) at sample s of line l. Its frequency f is fixed for the scan, and
    the phase phi_l is new in every line, for nothing ties it to the pulses. Lines are read along a row of the image:
    the tone is a column (with side lobes where f W is no whole number) of white noise.

    Args:
        shape: (H, W), static.
        key: draws f and the phases, uniformly.
        strength: root mean square of the magnitude down a stripe of a single column.

    Examples:
        >>> stripe = line_noise((64, 32), jax.random.key(0), 0.1)
        >>> round(float(jnp.sqrt(jnp.sum(jnp.abs(stripe) ** 2) / 64)), 4)
        0.1
    """
    check_range("strength", strength, 0)
    return strength / math.sqrt(shape[1]) * _tone(shape, key)


@functools.partial(jax.jit, static_argnames="shape")
def _tone(shape: tuple[int, ...], key: PRNGKey) -> Complex[Array, "height width"]:
    tone_key, phase_key = jax.random.split(key)
    frequency = jax.random.uniform(tone_key)
    phases = 2 * jnp.pi * jax.random.uniform(phase_key, (shape[0], 1))
    tone = jnp.exp(1j * (2 * jnp.pi * frequency * jnp.arange(shape[1]) + phases))
    return jnp.fft.ifft2(tone, norm="ortho")


def non_central_chi(image: Image, key: PRNGKey, noise: Scalar, coils: int = 1) -> Image:
    """Root sum of squares over n coils of complex signals in noise: sqrt(sum_c |x / sqrt(n) + e_c|^2).

    The coils see the object equally; only sum_c |x_c|^2 = x^2 matters. One coil: the Rician distribution. Where x = 0
    the mean square is 2 n noise^2; where x is far above the noise, the standard deviation is close to the noise.

    Args:
        image: x, (H, W), not negative.
        key: random numbers.
        noise: standard deviation of the real and of the imaginary part of every e_c, in units of the image.
        coils: n, static, 1 or more.

    Raises:
        ValueError: no coil, or negative noise.

    Sources: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995); Constantinides, Atalar and McVeigh, Magn. Reson. Med.
    38 (1997).

    Examples:
        >>> non_central_chi(jnp.ones((1, 2)), jax.random.key(0), 0.0, coils=4).tolist()
        [[1.0, 1.0]]
    """
    _check_noise(noise, coils)
    return _sum_of_squares(image, _noise(image.shape, key, noise, coils)).astype(image.dtype)


def acquire(
    image: Image,
    key: PRNGKey,
    *,
    noise: Scalar,
    keep: Scalar | tuple[Scalar, Scalar] = 1.0,
    taper: Scalar = 0.0,
    coils: int = 1,
    emi: Scalar = 0.0,
) -> Image:
    """One slice through the scanner: y = sqrt(sum_c |F^-1 w (F x / sqrt(n) + interference + noise_c)|^2).

    Noise lies in the acquired part of k-space only, as it does in a scan that was filled with zeros: with keep < 1
    neighbouring pixels are correlated. Its strength is given per pixel of the image, after the window.

    Args:
        image: x, (H, W), not negative: the magnitude without noise.
        key: random numbers.
        noise: standard deviation of the real and of the imaginary part in a pixel of each coil, in units of the image.
        keep: acquired share of k-space, see `truncate`.
        taper: of the window.
        coils: n, static.
        emi: root mean square down the stripe of an interfering tone (`line_noise`) where its frequency falls on a
            column and the window is a rectangle.

    Raises:
        ValueError: a number is out of its range.

    Examples:
        >>> acquire(jnp.ones((8, 9)), jax.random.key(0), noise=0.1, keep=0.5, emi=0.2).shape
        (8, 9)
    """
    _check_noise(noise, coils)
    check_range("emi", emi, 0)
    keep = keep if isinstance(keep, tuple) else (keep, keep)
    for share in keep:
        _check_window(share, taper)
    return _acquire(image, key, noise, keep, taper, coils, emi)


@functools.partial(jax.jit, static_argnames="coils")
def _acquire(
    image: Image,
    key: PRNGKey,
    noise: Scalar,
    keep: tuple[Scalar, Scalar],
    taper: Scalar,
    coils: int,
    emi: Scalar,
) -> Image:
    noise_key, tone_key = jax.random.split(key)
    rows, columns = window = _window(image.shape, keep, taper)
    power = jnp.mean(rows**2) * jnp.mean(columns**2)
    e = _filter(_noise(image.shape, noise_key, noise, coils), window) / jnp.sqrt(power)
    stripe = _filter(line_noise(image.shape, tone_key, emi), window)
    stripe = stripe / (jnp.sqrt(jnp.mean(rows**2)) * jnp.mean(columns))
    return _sum_of_squares(_filter(image, window) + stripe, e).astype(image.dtype)


def _check_window(keep: Scalar, taper: Scalar) -> None:
    check_range("keep", keep, 0, 1, above=True)
    check_range("taper", taper, 0, 1)


def _window(shape: tuple[int, ...], keep: Scalar | tuple[Scalar, Scalar], taper: Scalar) -> tuple[Array, Array]:
    rows, columns = keep if isinstance(keep, tuple) else (keep, keep)
    return k_space_window(shape[-2], rows, taper), k_space_window(shape[-1], columns, taper)


@jax.jit
def _filter(image: Array, window: tuple[Array, Array]) -> Array:
    return jnp.fft.ifft2(window[0][:, None] * window[1] * jnp.fft.fft2(image))


def _check_noise(noise: Scalar, coils: int) -> None:
    check_range("noise", noise, 0)
    if coils < 1:
        raise ValueError(f"coils must be 1 or more, not {coils}")


@functools.partial(jax.jit, static_argnames=("shape", "coils"))
def _noise(shape: tuple[int, ...], key: PRNGKey, noise: Scalar, coils: int) -> Complex[Array, "coils height width"]:
    real, imaginary = noise * jax.random.normal(key, (2, coils, *shape))
    return jax.lax.complex(real, imaginary)


@jax.jit
def _sum_of_squares(signal: Array, noise: Array) -> Array:
    coils = len(noise)
    return jnp.sqrt(jnp.sum(jnp.abs(signal / math.sqrt(coils) + noise) ** 2, axis=0))
