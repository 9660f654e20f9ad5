"""A high-field slice made to look like a low-field one: pure, jittable, the same for the same key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.filters import gaussian_weights, separable
from rnst_jax.types import Image, PRNGKey, Scalar

_RADIUS = 8
"""Of the blurring kernel in pixels: four widths at the most that is meant here, 2 pixels."""


@jax.jit
def degrade(
    image: Image,
    key: PRNGKey,
    *,
    saturation: Scalar = 1.0,
    bias: Scalar = 0.1,
    blur: Scalar = 0.8,
    noise: Scalar = 0.06,
) -> Image:
    """What a low-field scanner would have shown: y = | g * (b . c(x)) + e_1 + i e_2 |.

    In the order of a scanner: contrast c (`compress`), receive field b (`bias_field`), the width g of its point spread
    (a Gaussian), and complex noise before the magnitude (`rician`). A stand-in for a scanner, not a model of the field:
    no relaxation times enter.

    Args:
        image: x, (H, W), air at 0 and the brightest tissue near 1.
        key: random numbers, for the receive field and the noise.
        saturation: more than 0; the smaller, the closer the bright tissues are. 1 brings grey and white matter of a T1w
            scan (0.70 and 0.95, a ratio of 0.74) to a ratio of 0.85.
        bias: the largest logarithm of the receive field.
        blur: standard deviation of g in pixels, at most 2; the full width at half maximum is 2.35 times as much.
        noise: standard deviation of e_1 and e_2, in units of the image.

    Returns:
        (H, W), not negative; air is no longer 0 but has the mean noise sqrt(pi / 2).

    Examples:
        >>> import jax
        >>> degrade(jnp.zeros((8, 9)), jax.random.key(0)).shape
        (8, 9)
    """
    field_key, noise_key = jax.random.split(key)
    received = compress(image, saturation) * bias_field(field_key, image.shape, bias)
    weights = gaussian_weights(blur, _RADIUS)
    return rician(separable(received, weights), noise_key, noise)


def compress(image: Image, saturation: Scalar) -> Image:
    """c(x) = (1 + s) x / (s + x): monotone, 0 and 1 stay, and the bright tissues come closer to each other.

    Examples:
        >>> compress(jnp.array([0.0, 0.5, 1.0]), 0.5).tolist()
        [0.0, 0.75, 1.0]
    """
    return (1 + saturation) * image / (saturation + image)


def bias_field(key: PRNGKey, shape: tuple[int, ...], strength: Scalar) -> Float[Array, "height width"]:
    """b = exp(strength p) with p a random quadratic in the two coordinates, scaled to max |p| = 1.

    Args:
        key: draws the five coefficients of p (normal).
        shape: (H, W), static.
        strength: b lies within exp(-strength) and exp(strength).

    Examples:
        >>> import jax
        >>> bool(jnp.all(bias_field(jax.random.key(0), (4, 5), 0.0) == 1))
        True
    """
    u, v = jnp.meshgrid(*(jnp.linspace(-1, 1, n) for n in shape), indexing="ij")
    p = jnp.tensordot(jax.random.normal(key, (5,)), jnp.stack([u, v, u * v, u * u, v * v]), 1)
    return jnp.exp(strength * p / jnp.max(jnp.abs(p)))


def rician(image: Image, key: PRNGKey, noise: Scalar) -> Image:
    """The magnitude of a complex signal in noise: sqrt((x + e_1)^2 + e_2^2), e_1 and e_2 white normal.

    Where x = 0 the mean is noise sqrt(pi / 2) and the mean square 2 noise^2 (Rayleigh); where x is far above the
    noise, the mean is close to x + noise^2 / (2 x) and the standard deviation to the noise.

    Args:
        image: x, (H, W).
        key: random numbers.
        noise: standard deviation of e_1 and e_2, in units of the image.

    Source: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995).

    Examples:
        >>> import jax
        >>> rician(jnp.ones((1, 2)), jax.random.key(0), 0.0).tolist()
        [[1.0, 1.0]]
    """
    e_1, e_2 = noise * jax.random.normal(key, (2, *image.shape), image.dtype)
    return jnp.hypot(image + e_1, e_2)
