"""Style and content losses on network features."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rnst_jax.features import Extractor
from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree

VGG_STYLE_TAPS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1")
VGG_CONTENT_TAPS = ("conv2_2",)


def gram(features: Float[Array, "h w c"], mask: Float[Array, "h w"] | None = None) -> Float[Array, "c c"]:
    """The Gram matrix G_ij = sum_p m_p F_pi F_pj / (C sum_p m_p), accumulated in float32 or better.

    Without a mask, m = 1 and the divisor is C H W (Gatys et al. 2016, with the normalisation of the published RNST).

    Args:
        features: features of one image at one tap.
        mask: weights in [0, 1] of the pixels, at the tap's resolution.

    Examples:
        >>> import jax.numpy as jnp
        >>> gram(jnp.ones((4, 4, 2))).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    f = features.reshape(-1, features.shape[-1])
    weights = None if mask is None else mask.reshape(-1).astype(f.dtype)
    area = float(len(f)) if mask is None else jnp.maximum(mask.sum(), 1.0)
    return _products(f, weights) / (f.shape[1] * area)


@jax.custom_vjp
def _products(f: Array, weights: Array | None) -> Array:
    """F^T W F. Left to itself its gradient takes two products, with dL/dG and with its transpose, in float32 always."""
    weighted = f if weights is None else f * weights[:, None]
    return jnp.einsum("pi,pj->ij", weighted, f, preferred_element_type=jnp.promote_types(f.dtype, jnp.float32))


def _products_backwards(residuals: tuple[Array, Array | None], g: Array) -> tuple[Array, Array | None]:
    f, weights = residuals
    along = f @ (g + g.T).astype(f.dtype)
    if weights is None:
        return along, None
    return along * weights[:, None], jnp.sum(f * along, 1) / 2


_products.defvjp(lambda f, weights: (_products(f, weights), (f, weights)), _products_backwards)


def pixels_inside(image: Image, mask: Image | None) -> Bool[Array, "h w"]:
    """Where a mask is above one half; everywhere if there is none."""
    return jnp.ones(image.shape, bool) if mask is None else mask > 0.5


def quantiles(image: Image, mask: Image | None, count: int) -> Float[Array, " count"]:
    """The (k + 1/2) / count quantiles of the intensities inside a mask, k = 0 .. count - 1; differentiable.

    Args:
        image: any range.
        mask: pixels above one half are inside; None takes all.
        count: number of quantiles (static).

    Examples:
        >>> import jax.numpy as jnp
        >>> quantiles(jnp.array([[4.0, 1.0, 3.0, 2.0]]), None, 2).tolist()
        [1.75, 3.25]
    """
    inside = pixels_inside(image, mask)
    ordered = jnp.sort(jnp.where(inside, image, jnp.inf).ravel())
    last = jnp.maximum(inside.sum() - 1, 0)
    position = (jnp.arange(count) + 0.5) / count * last
    lower = jnp.floor(position).astype(int)
    share = position - lower
    return (1 - share) * ordered[lower] + share * ordered[jnp.minimum(lower + 1, last)]


def smooth_activations(
    features: Float[Array, "h w c"], temperature: Scalar = 1.0, mask: Float[Array, "h w"] | None = None
) -> Float[Array, "h w c"]:
    """The softmax S_pc = exp(F_pc / t) / mean(exp(F / t)) over all positions and channels of a tap at once.

    Residual networks have a few very large activations, which alone would decide a Gram matrix; the softmax raises
    their entropy. The authors' code divides by the sum. The mean in its place, so that S has mean 1 and no loss
    depends on the size of the image, is this project's choice, and so is the mask, which weights the mean.

    Args:
        features: features F of one image at one tap.
        temperature: t, positive; larger is smoother. At t towards infinity S = 1.
        mask: weights in [0, 1] of the pixels. Those of weight 0 do not count: give the same mask to `gram`.

    Returns:
        S, float32 or wider.

    Source: Wang, Li and Vasconcelos, Rethinking and improving the robustness of image style transfer, CVPR 2021
    (SWAG), and the code published with it.

    Examples:
        >>> import jax.numpy as jnp
        >>> smooth_activations(jnp.array([[[0.0, jnp.log(3.0)]]])).round(4).tolist()
        [[[0.5, 1.5]]]
    """
    f = wide(features) / temperature
    weights = jnp.ones((*f.shape[:2], 1), f.dtype) if mask is None else mask[..., None].astype(f.dtype)
    top = jax.lax.stop_gradient(jnp.max(jnp.where(weights > 0, f, -jnp.inf)))
    # Positions that do not count are capped, lest they overflow; they are not cut out, lest a NaN there be lost.
    excess = f - top
    e = jnp.exp(jnp.where(excess > 0, 0, excess))
    count = f.shape[-1] * jnp.maximum(weights.sum(), 1e-6)
    return e * count / jnp.maximum(jnp.sum(weights * e), 1e-30)


def absolute(d: Array, smoothing: Scalar) -> Array:
    """The smoothed absolute value sqrt(d^2 + s^2) - s; |d| for s = 0, with derivative 0 at d = 0."""
    s = jnp.maximum(smoothing, 1e-12)
    return jnp.sqrt(d * d + s * s) - s


@pytree
class Targets:
    """What a style loss compares with, computed once: Gram matrices of the style, features of the content.

    Attributes:
        grams: (C, C) Gram matrix of the style image per style tap.
        content: (h, w, C) features of the content image per content tap, smoothed if the loss smooths them.
        masks: the content's head mask at each style tap's resolution, or None for whole-slice statistics.
        quantiles: of the style's intensities inside its mask.
        mask: the content's head mask, or None.
    """

    grams: dict[str, Array]
    content: dict[str, Array]
    masks: dict[str, Array] | None
    quantiles: Array
    mask: Array | None
    averaged: ClassVar[tuple[str, ...]] = ("grams", "quantiles")


@pytree
class StyleLoss:
    """a sum_taps mean|G(x) - G(s)| + b sum_taps mean|F(x) - F(y)| + c mean|Q(x) - Q(s)|.

    G is `gram`, F are features, Q are `quantiles` of the intensities (their mean difference is the 1-Wasserstein
    distance of the two distributions). |.| is `absolute` (``distance="l1"``, the published choice) or the square
    (``"l2"``). With ``softmax``, F are `smooth_activations` of the features: inside the mask for the Gram term, over
    the whole image for the content term.

    Attributes:
        style_weight: a, weight of the Gram term (published: 5000).
        content_weight: b, weight of the content term (published: 1).
        smoothing: smoothing of |.| relative to the mean magnitude of each target; 0 is the published loss.
        intensity_weight: c, weight of the intensity distribution.
        temperature: of the softmax; without effect if there is none.
        style_taps: taps of the Gram term, static.
        content_taps: taps of the content term, static.
        distance: ``"l1"`` or ``"l2"``, static.
        quantile_count: quantiles in the intensity term, static; 0 leaves the term out, as the published loss does.
        softmax: smooth the activations, which residual networks need, static.

    Source: Gatys, Ecker and Bethge, CVPR 2016, with the taps and distances of the published RNST.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> loss, vgg, x = StyleLoss(), rnst.features.load("vgg16"), jnp.full((32, 32), 0.5)
        >>> targets = loss.targets(vgg, content=x, style=x)
        >>> round(loss(vgg, x, targets).item(), 3)
        0.0
    """

    style_weight: Scalar = 5000.0
    content_weight: Scalar = 1.0
    smoothing: Scalar = 0.0
    intensity_weight: Scalar = 0.0
    temperature: Scalar = 1.0
    style_taps: tuple[str, ...] = jax.tree.static(default=VGG_STYLE_TAPS)
    content_taps: tuple[str, ...] = jax.tree.static(default=VGG_CONTENT_TAPS)
    distance: str = jax.tree.static(default="l1")
    quantile_count: int = jax.tree.static(default=0)
    softmax: bool = jax.tree.static(default=False)

    def targets(
        self,
        extractor: Extractor,
        content: Array,
        style: Array,
        mask: Image | None = None,
        style_mask: Image | None = None,
    ) -> Targets:
        """Targets for `__call__`, from images (H, W) or (H, W, 3) in [0, 1]; with masks, Grams see the head only."""
        style_features = extract(extractor, style, self.style_taps)
        # those of the style's taps are for their shapes only: the compiler leaves them out
        features = extract(extractor, content, self._taps)
        grams = {
            tap: self._gram(f, None if style_mask is None else resize(style_mask, f.shape[:2]))
            for tap, f in style_features.items()
        }
        masks = None if mask is None else {tap: resize(mask, features[tap].shape[:2]) for tap in self.style_taps}
        smoothed = {tap: self._smooth(features[tap]) for tap in self.content_taps}
        return Targets(grams, smoothed, masks, self._quantiles(style, style_mask), mask)

    def __call__(self, extractor: Extractor, x: Array, targets: Targets) -> Float[Array, ""]:
        """The loss of an image (H, W) or (H, W, 3) in [0, 1]."""
        features = extract(extractor, x, self._taps)
        masks = targets.masks or dict.fromkeys(self.style_taps)
        loss = jnp.zeros(())
        for tap in self.style_taps:
            difference = self._gram(features[tap], masks[tap]) - targets.grams[tap]
            loss += self.style_weight * self._distance(difference, targets.grams[tap])
        for tap in self.content_taps:
            difference = self._smooth(features[tap]) - targets.content[tap]
            loss += self.content_weight * self._distance(difference, targets.content[tap])
        if self.quantile_count:
            difference = self._quantiles(x, targets.mask) - targets.quantiles
            loss += self.intensity_weight * self._distance(difference, targets.quantiles)
        return loss

    @property
    def _taps(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.style_taps + self.content_taps))

    def _smooth(self, features: Array, mask: Array | None = None) -> Array:
        return smooth_activations(features, self.temperature, mask) if self.softmax else features

    def _gram(self, features: Array, mask: Array | None) -> Array:
        return gram(self._smooth(features, mask), mask)

    def _quantiles(self, x: Array, mask: Image | None) -> Array:
        return quantiles(x, mask, self.quantile_count) if self.quantile_count else jnp.zeros(0)

    def _distance(self, difference: Array, target: Array) -> Float[Array, ""]:
        return distance(self.distance, difference, target, self.smoothing)


def distance(
    kind: str, difference: Array, target: Array, smoothing: Scalar, weights: Array | None = None
) -> Float[Array, ""]:
    """The weighted mean of `absolute` differences (``"l1"``), smoothed relative to the target, or of squares."""
    # a mean in half precision would lose what a small step changes
    difference = wide(difference)
    d = difference**2 if kind == "l2" else absolute(difference, smoothing * jnp.abs(target).mean())
    if weights is None:
        return jnp.mean(d)
    weights = jnp.broadcast_to(weights, d.shape)
    return jnp.sum(weights * d) / jnp.maximum(jnp.sum(weights), 1e-6)


def extract(extractor: Extractor, x: Array, taps: tuple[str, ...]) -> dict[str, Array]:
    """Features (h, w, C) of one image (H, W) or (H, W, C), by tap."""
    if not taps:
        return {}
    image = x[..., None] if x.ndim == 2 else x
    return {tap: f[0] for tap, f in extractor(image[None], taps).items()}


def resize(mask: Image, shape: tuple[int, ...]) -> Image:
    """A mask at a tap's resolution."""
    return jax.image.resize(mask.astype(jnp.float32), shape, "linear")
