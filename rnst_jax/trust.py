"""What can be believed of a result: its misfit to the scan, what it makes of a lesion, what came from the style.

All are pure functions of (H, W) float images and boolean or 0/1 masks, jittable and vmappable. A reconstruction changes
the contrast on purpose. So images are compared after the intensity map f that fits best: piecewise linear with equally
spaced knots, one value for each intensity, wherever in the image it stands. f may fall as well as rise: where the order
of two tissues is reversed, `order_difference` says so and the misfit does not.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.order import quantile
from rnst_jax.types import Image, Physics, Scalar, pytree

_KNOTS = 32
"""Of the intensity map: enough for any smooth change of contrast, few against the pixels of a head."""


@pytree
class Misfit:
    """How well an image explains a measurement once the change of contrast is taken out.

    Attributes:
        level: root mean square of the residual over the noise's standard deviation: near 1 if nothing but noise is
            left, below 1 if noise was kept in the image, above 1 if structure was lost or invented.
        outliers: share of samples that are off by more than three standard deviations; 0.0027 for Gaussian noise.
        fitted: f(image), (H, W), in the units of the measurement's image.
        residual: A f(image) - y, of y's shape, 0 where it does not count. Look at it: noise has no shape.
    """

    level: Float[Array, ""]
    outliers: Float[Array, ""]
    fitted: Array
    residual: Array


def residual_level(
    y: Array,
    image: Image,
    sigma: Scalar,
    mask: Image,
    physics: Physics | None = None,
    samples: Array | None = None,
) -> Misfit:
    """The residual r = A f(x) - y against the noise, with the f that makes it smallest; 0 outside the mask in f(x).

    level = sqrt(mean r^2) / sigma and outliers = share of |r| > 3 sigma, over the samples that count.

    f has up to 32 free numbers, so a structure of an intensity that occurs nowhere else in the mask is explained away.
    The mask is best the head without its rim, ``rim_weight(head) < 0.01``: there one f holds for all pixels.

    Args:
        y: the measurement: an image, or what ``physics.forward`` gives.
        image: x, the result, any intensity unit.
        sigma: standard deviation of the noise in units of y (of the modulus, if y is complex).
        mask: the head.
        physics: the forward model A; the identity by default.
        samples: the samples of y that count, of y's shape or broadcast to it: where k-space was measured, say. By
            default those in the mask, and all of them if there is a ``physics``.

    Returns:
        A `Misfit`; NaN levels if nothing counts.

    Examples:
        >>> x = jnp.linspace(0, 1, 4096).reshape(64, 64)
        >>> y = jnp.sqrt(x) + 0.02 * jax.random.normal(jax.random.key(0), x.shape)
        >>> misfit = residual_level(y, x, 0.02, jnp.ones_like(x))
        >>> 0.95 < float(misfit.level) < 1.05, float(misfit.outliers) < 0.01
        (True, True)
    """
    forward = (lambda x: x) if physics is None else physics.forward
    inside = jnp.asarray(mask) > 0
    if samples is None:
        samples = inside if physics is None else jnp.ones(y.shape)
    counts = jnp.broadcast_to(jnp.asarray(samples) > 0, y.shape).astype(jnp.float32)
    hats = _hats(image, inside)
    columns = (jax.vmap(forward)(hats) * counts).reshape(_KNOTS, -1)
    normal = jnp.real(columns.conj() @ columns.T)
    values = jnp.linalg.pinv(normal, rtol=1e-5, hermitian=True) @ jnp.real(columns.conj() @ (y * counts).ravel())
    fitted = jnp.tensordot(values, hats, axes=1)
    residual = (forward(fitted) - y) * counts
    size = jnp.abs(residual)
    level = jnp.sqrt(jnp.sum(size**2) / counts.sum()) / sigma
    return Misfit(level, jnp.sum(size > 3 * sigma) / counts.sum(), fitted, residual)


def local_misfit(residual: Image, sigma: Scalar, mask: Image, side: int = 5) -> Image:
    """Where a residual is no noise:  z = |sum r| / (sigma sqrt(n))  over a square window around each pixel.

    n counts the window's pixels in the mask. For white noise z is the modulus of a standard normal number, so above 5
    hardly anywhere; a structure that was lost or invented adds up instead of averaging out.

    Args:
        residual: r, (H, W), of an image, as in `Misfit`.
        sigma: standard deviation of the noise.
        mask: the head; z is 0 outside.
        side: of the window, odd, pixels.

    Examples:
        >>> noise = 0.1 * jax.random.normal(jax.random.key(0), (32, 32))
        >>> everywhere = jnp.ones_like(noise)
        >>> float(local_misfit(noise, 0.1, everywhere).max()) < 5
        True
        >>> float(local_misfit(add_lesion(noise, (16, 16), 3, 0.3), 0.1, everywhere).max()) > 8
        True
    """
    inside = (jnp.asarray(mask) > 0).astype(jnp.float32)

    def total(x):
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, (side, side), (1, 1), "SAME")

    return inside * jnp.abs(total(residual * inside)) / (sigma * jnp.sqrt(jnp.maximum(total(inside), 1)))


def add_lesion(image: Image, centre: tuple[Scalar, Scalar], radius: Scalar, contrast: Scalar) -> Image:
    """The image with a synthetic lesion: x + c min(1, max(0, 1/2 + R - d)), d the distance from the centre.

    Args:
        image: x.
        centre: row and column, pixels.
        radius: R, pixels; the edge is one pixel wide, a partial volume.
        contrast: c, below 0 for a dark lesion.

    Examples:
        >>> float(add_lesion(jnp.zeros((16, 16)), (8, 8), 3, -0.5).min())
        -0.5
    """
    distance = _distance(image.shape, centre)
    return image + contrast * jnp.clip(0.5 + radius - distance, 0, 1)


def lesion_masks(shape: tuple[int, ...], centre: tuple[Scalar, Scalar], radius: Scalar) -> tuple[Array, Array]:
    """The inside of such a lesion, and a ring of three pixels around it that starts two pixels outside.

    Examples:
        >>> inside, ring = lesion_masks((16, 16), (8, 8), 2)
        >>> int(inside.sum()), bool((inside & ring).any())
        (9, False)
    """
    distance = _distance(shape, centre)
    return distance < radius, (distance >= radius + 2) & (distance < radius + 5)


def lesion_contrast(image: Image, lesion: Image, ring: Image, mask: Image) -> Float[Array, ""]:
    """(mean in the lesion - mean in the ring) / (99.5 - 0.5 percentile in the head): negative for a dark lesion.

    The range of the head makes results of different contrast comparable, and a scale or offset does not change it.
    Lesion and ring are those of `lesion_masks`.

    Examples:
        >>> image = add_lesion(jnp.zeros((16, 16)).at[0].set(1), (8, 8), 2, 0.3)
        >>> inside, ring = lesion_masks((16, 16), (8, 8), 2)
        >>> round(float(lesion_contrast(image, inside, ring, jnp.ones((16, 16)))), 2)
        0.3
    """
    low, high = quantile(image, jnp.asarray(mask) > 0, jnp.array([0.005, 0.995]))
    return (_mean(image, lesion) - _mean(image, ring)) / (high - low)


def order_difference(a: Image, b: Image, mask: Image) -> Float[Array, ""]:
    """1 - Spearman's rank correlation of images a and b in a mask: 0 if one is a rising map of the other, 2 if falling.

    Results of one scan with two styles have the same order if the styles gave nothing but contrast. Structure that came
    from a style, a *leak*, makes this grow. Where a result depends on depth too (`rnst_jax.scalp`), compare inside the
    rim, ``rim_weight(head) < 0.01``.

    Examples:
        >>> x = jnp.linspace(0, 1, 64).reshape(8, 8)
        >>> round(float(order_difference(x, x**3, jnp.ones_like(x))), 4)
        0.0
        >>> round(float(order_difference(x, -x, jnp.ones_like(x))), 4)
        2.0
    """
    inside = jnp.asarray(mask) > 0
    p, q = _ranks(a, inside), _ranks(b, inside)
    return 1 - jnp.sum(p * q) / jnp.sqrt(jnp.sum(p**2) * jnp.sum(q**2))


def slice_jumps(
    before: Float[Array, "n h w"], after: Float[Array, "n h w"], masks: Float[Array, "n h w"]
) -> Float[Array, " pairs"]:
    """How differently neighbouring slices of a scan were mapped: of slices n and n + 1

        sqrt( sum_k w_k (f_n(k) - f_(n+1)(k))^2 / sum_k w_k ) / (99.5 - 0.5 percentile of both results in the head),

    f_n(k) the mean result of slice n where the scan has the k-th of 32 intensities, and w_k how many pixels both have
    there. 0 where one map holds for both; other anatomy alone is no difference. A tissue that jumps from slice to slice
    flickers in a viewer and has an edge in the other planes.

    Args:
        before: the scan, (n, H, W), at least two slices in their order.
        after: the results, the same shape.
        masks: the heads; best without their rims, ``rim_weight(head) < 0.01``.

    Examples:
        >>> scan = jax.random.uniform(jax.random.key(0), (3, 32, 32))
        >>> mapped = jnp.stack([scan[0], scan[1], 0.8 * scan[2]])
        >>> slice_jumps(scan, mapped, jnp.ones_like(scan)).round(2).tolist()
        [0.0, 0.11999999731779099]
    """

    def jump(before, after, masks):
        inside = jnp.asarray(masks) > 0
        hats = _hats(before, inside)
        counts = jnp.sum(hats, axis=(-2, -1))
        maps = jnp.sum(hats * after, axis=(-2, -1)) / jnp.maximum(counts, 1e-6)
        shared = jnp.min(counts, axis=1)
        low, high = quantile(after, inside, jnp.array([0.005, 0.995]))
        return jnp.sqrt(jnp.sum(shared * (maps[:, 0] - maps[:, 1]) ** 2) / jnp.sum(shared)) / (high - low)

    pairs = jnp.arange(len(before) - 1)[:, None] + jnp.arange(2)
    return jax.vmap(jump)(*(jnp.asarray(stack)[pairs] for stack in (before, after, masks)))


def _hats(image: Array, inside: Array) -> Array:
    """The basis of all f(image): one hat function per knot, (knots, *shape), 0 outside."""
    low = jnp.min(jnp.where(inside, image, jnp.inf))
    high = jnp.max(jnp.where(inside, image, -jnp.inf))
    position = (image - low) / jnp.maximum(high - low, jnp.finfo(jnp.float32).tiny) * (_KNOTS - 1)
    knots = jnp.arange(_KNOTS).reshape(-1, *(1,) * image.ndim)
    return jnp.where(inside, jnp.clip(1 - jnp.abs(position - knots), 0, 1), 0)


def _ranks(image: Image, inside: Array) -> Array:
    """Ranks inside, less their mean, over their number, equal for equal values; 0 outside."""
    values = jnp.sort(jnp.where(inside, image, jnp.inf).ravel())
    below = jnp.searchsorted(values, image.ravel(), side="left")
    up_to = jnp.searchsorted(values, image.ravel(), side="right")
    count = jnp.maximum(jnp.sum(inside), 1)
    return jnp.where(inside, ((below + up_to) / 2 / count - 0.5).reshape(image.shape), 0)


def _mean(image: Image, mask: Image) -> Float[Array, ""]:
    return jnp.mean(jnp.asarray(image), where=jnp.asarray(mask) > 0)


def _distance(shape: tuple[int, ...], centre: tuple[Scalar, Scalar]) -> Array:
    rows, cols = jnp.arange(shape[0])[:, None], jnp.arange(shape[1])
    return jnp.hypot(rows - centre[0], cols - centre[1])
