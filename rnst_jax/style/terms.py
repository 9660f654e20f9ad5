"""Terms of style losses: what each compares; `rnst_jax.style.LossSum` is their weighted sum."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.style.losses import gram, quantiles
from rnst_jax.style.statistics import mean_and_deviation, projections, sorted_projections, variation
from rnst_jax.types import Image, Scalar, pytree

Features = dict[str, Array]
Masks = dict[str, Array | None]
Distance = Callable[[Array, Array, Array | None], Array]
"""Of a difference, the target that sets its scale, and weights of its elements (None: all equal): a scalar."""


class Term(Protocol):
    """One part of a loss: statistics of an image, and how far they are from those of another."""

    taps: tuple[str, ...]
    """The features it needs; empty if it looks at intensities."""
    of: ClassVar[str]
    """Whose statistics are the target: ``"style"``, ``"content"``, or ``"none"``."""

    def describe(self, features: Features, image: Array, masks: Masks, mask: Image | None) -> Any:
        """The statistics of an image, a pytree."""
        ...

    def compare(self, found: Any, target: Any, masks: Masks, distance: Distance) -> Float[Array, ""]:
        """How far statistics are from the target's."""
        ...


class _PerTap:
    """A sum over taps of a distance of one statistic, with a weight each."""

    taps: tuple[str, ...]
    weights: tuple[Scalar, ...]
    of: ClassVar[str] = "style"

    def statistic(self, features: Array, mask: Array | None) -> Any:
        raise NotImplementedError

    def describe(self, features: Features, image: Array, masks: Masks, mask: Image | None) -> dict[str, Any]:
        """The statistic at each tap."""
        del image, mask
        return {tap: self.statistic(features[tap], masks[tap]) for tap in self.taps}

    def compare(self, found: Any, target: Any, masks: Masks, distance: Distance) -> Float[Array, ""]:
        """sum_taps w_tap distance."""
        del masks
        terms = []
        for tap, weight in zip(self.taps, _weights(self), strict=True):
            parts = jax.tree.map(lambda f, t: distance(f - t, t, None), found[tap], target[tap])
            terms.append(weight * sum(jax.tree.leaves(parts)))
        return jnp.sum(jnp.stack(terms))


@pytree
class Gram(_PerTap):
    """sum_taps w_tap d(G(x), G(s)), with `rnst_jax.style.gram` over the mask: the term of `StyleLoss`.

    Attributes:
        taps: static.
        weights: w, one per tap; empty for 1 each.

    Source: Gatys, Ecker and Bethge, CVPR 2016.
    """

    taps: tuple[str, ...] = jax.tree.static()
    weights: tuple[Scalar, ...] = ()

    def statistic(self, features: Array, mask: Array | None) -> Array:
        """The Gram matrix."""
        return gram(features, mask)


@pytree
class Moments(_PerTap):
    """sum_taps w_tap [ d(mean(x), mean(s)) + d(std(x), std(s)) ], per channel over the mask.

    Attributes:
        taps: static.
        weights: w, one per tap; empty for 1 each.

    Source: Huang and Belongie, ICCV 2017 (its style loss, which takes the square).
    """

    taps: tuple[str, ...] = jax.tree.static()
    weights: tuple[Scalar, ...] = ()

    def statistic(self, features: Array, mask: Array | None) -> tuple[Array, Array]:
        """Mean and standard deviation per channel."""
        return mean_and_deviation(features, mask)


@pytree
class SlicedWasserstein(_PerTap):
    """sum_taps w_tap mean_(v, k) d(q_k(F v), q_k(F_s v)): quantiles q_k of features F along random unit vectors v.

    With d the absolute value this estimates the sliced 1-Wasserstein distance of the two clouds of feature vectors,
    with the square that of order 2, squared. The vectors are drawn from ``seed`` and the number of channels.
    Quantiles make images of different sizes comparable.

    Attributes:
        taps: static.
        weights: w, one per tap; empty for 1 each.
        count: number of vectors, static.
        quantiles: number of quantiles per vector, static.
        seed: of the vectors, static.

    Source: Bonneel, Rabin, Peyre and Pfister, J. Math. Imaging Vis. 51 (2015); on features of a network: Heitz,
    Vanhoey, Chambon and Belcour, CVPR 2021.
    """

    taps: tuple[str, ...] = jax.tree.static()
    weights: tuple[Scalar, ...] = ()
    count: int = jax.tree.static(default=32)
    quantiles: int = jax.tree.static(default=32)
    seed: int = jax.tree.static(default=0)

    def statistic(self, features: Array, mask: Array | None) -> Array:
        """(count, quantiles): the quantiles along each vector."""
        vectors = projections(features.shape[-1], self.count, self.seed).astype(features.dtype)
        return sorted_projections(features, mask, vectors, self.quantiles)


@pytree
class Intensities:
    """d(Q(x), Q(s)) with the quantiles Q of the intensities over the mask; for d = |.| the 1-Wasserstein distance.

    In one dimension there is nothing to slice: this is the sliced Wasserstein distance of intensities, and the
    intensity term of `StyleLoss`.

    Attributes:
        count: number of quantiles, static.
    """

    count: int = jax.tree.static(default=64)
    taps: ClassVar[tuple[str, ...]] = ()
    of: ClassVar[str] = "style"

    def describe(self, features: Features, image: Array, masks: Masks, mask: Image | None) -> Array:
        """The quantiles."""
        del features, masks
        return quantiles(image, mask, self.count)

    def compare(self, found: Array, target: Array, masks: Masks, distance: Distance) -> Float[Array, ""]:
        """The distance of the quantiles."""
        del masks
        return distance(found - target, target, None)


@pytree
class Content:
    """sum_taps w_tap mean_p d(F_p(x), F_p(y)), the mean weighted by the mask: the features themselves, place by place.

    Without a mask it is the content term of `StyleLoss`, which does not mask it.

    Attributes:
        taps: static.
        weights: w, one per tap; empty for 1 each.

    Source: Gatys, Ecker and Bethge, CVPR 2016.
    """

    taps: tuple[str, ...] = jax.tree.static()
    weights: tuple[Scalar, ...] = ()
    of: ClassVar[str] = "content"

    def describe(self, features: Features, image: Array, masks: Masks, mask: Image | None) -> Features:
        """The features."""
        del image, masks, mask
        return {tap: features[tap] for tap in self.taps}

    def compare(self, found: Features, target: Features, masks: Masks, distance: Distance) -> Float[Array, ""]:
        """The weighted sum over taps."""
        parts = [
            weight * distance(found[tap] - target[tap], target[tap], _spread(masks[tap]))
            for tap, weight in zip(self.taps, _weights(self), strict=True)
        ]
        return jnp.sum(jnp.stack(parts))


@pytree
class Variation:
    """The isotropic total variation per pixel, mean_p |grad x|_p over the mask; it has no target.

    Attributes:
        smoothing: s of sqrt(|grad x|^2 + s^2) - s, in units of the image.

    Source: Rudin, Osher and Fatemi, Physica D 60 (1992).
    """

    smoothing: Scalar = 1e-3
    taps: ClassVar[tuple[str, ...]] = ()
    of: ClassVar[str] = "none"

    def describe(self, features: Features, image: Array, masks: Masks, mask: Image | None) -> Float[Array, ""]:
        """The total variation."""
        del features, masks
        return variation(image, mask, self.smoothing)

    def compare(self, found: Array, target: None, masks: Masks, distance: Distance) -> Float[Array, ""]:
        """Itself."""
        del target, masks, distance
        return found


def _weights(term: Any) -> tuple[Scalar, ...]:
    weights = term.weights or (1.0,) * len(term.taps)
    if len(weights) != len(term.taps):
        raise ValueError(f"{type(term).__name__} has {len(term.taps)} taps and {len(weights)} weights")
    return weights


def _spread(mask: Array | None) -> Array | None:
    return None if mask is None else mask[..., None]
