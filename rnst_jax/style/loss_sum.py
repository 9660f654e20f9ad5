"""A style loss made of terms, which stands where a `StyleLoss` does, and targets of several style images."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.features import Extractor
from rnst_jax.style.losses import distance, extract, resize
from rnst_jax.style.terms import Features, Masks
from rnst_jax.types import Image, Scalar, pytree


@pytree
class TermTargets:
    """What a `LossSum` compares with, computed once.

    Attributes:
        style: the style's statistics, per term; None where a term's target is not the style.
        content: the content's, likewise.
        mask: the content's head mask, or None.
    """

    style: tuple[Any, ...]
    content: tuple[Any, ...]
    mask: Array | None
    averaged: ClassVar[tuple[str, ...]] = ("style",)


@pytree
class LossSum:
    """sum_i weight_i term_i, with the terms of `rnst_jax.style.terms` or your own.

    It stands wherever a `StyleLoss` does, in `rnst_jax.priors.Style` say. Distances d are the mean of `absolute` values
    (``distance="l1"``) or of squares (``"l2"``).

    Attributes:
        terms: the parts.
        weights: one number per part.
        smoothing: of the absolute value, relative to the mean magnitude of each target.
        distance: ``"l1"`` or ``"l2"``, static.

    Raises:
        ValueError: another distance, or not one weight per part.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> taps = ("conv1_1", "conv1_2")
        >>> loss = LossSum((rnst.style.Moments(taps), rnst.style.Content(taps[1:])), (1.0, 0.1))
        >>> vgg, x = rnst.features.load("vgg16", taps=taps), jnp.full((16, 16), 0.5)
        >>> round(loss(vgg, x, loss.targets(vgg, content=x, style=x)).item(), 4)
        0.0
    """

    terms: tuple[Any, ...]
    weights: tuple[Scalar, ...]
    smoothing: Scalar = 0.01
    distance: str = jax.tree.static(default="l1")

    def targets(
        self,
        extractor: Extractor,
        content: Array,
        style: Array,
        mask: Image | None = None,
        style_mask: Image | None = None,
    ) -> TermTargets:
        """Targets for `__call__`, from images (H, W) or (H, W, 3) in [0, 1]; with masks, only the head counts."""
        if self.distance not in ("l1", "l2") or len(self.terms) != len(self.weights):
            raise ValueError(
                f"distance must be 'l1' or 'l2' and each of {len(self.terms)} terms needs a weight, "
                f"not '{self.distance}' and {len(self.weights)}"
            )
        styles = self._describe(extractor, style, style_mask, "style")
        return TermTargets(styles, self._describe(extractor, content, mask, "content"), mask)

    def __call__(self, extractor: Extractor, x: Array, targets: TermTargets) -> Float[Array, ""]:
        """The loss of an image (H, W) or (H, W, 3) in [0, 1]."""
        features = extract(extractor, x, self._taps(self.terms))
        masks = _masks(features, targets.mask)
        loss = jnp.zeros(())
        for term, weight, style, content in zip(self.terms, self.weights, targets.style, targets.content, strict=True):
            found = term.describe(features, x, masks, targets.mask)
            target = {"style": style, "content": content, "none": None}[term.of]
            loss += weight * term.compare(found, target, masks, self._distance)
        return loss

    def _describe(self, extractor: Extractor, image: Array, mask: Image | None, of: str) -> tuple[Any, ...]:
        features = extract(extractor, image, self._taps([term for term in self.terms if term.of == of]))
        masks = _masks(features, mask)
        return tuple(term.describe(features, image, masks, mask) if term.of == of else None for term in self.terms)

    @staticmethod
    def _taps(terms: Sequence[Any]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tap for term in terms for tap in term.taps))

    def _distance(self, difference: Array, target: Array, weights: Array | None) -> Float[Array, ""]:
        return distance(self.distance, difference, target, self.smoothing, weights)


def blend(targets: Sequence[Any], weights: Sequence[Scalar] | None = None) -> Any:
    """Targets of several style images as one: the weighted mean of their statistics; the content is that of the first.

    Args:
        targets: of the same loss, content and mask, for one style image each; the images' sizes may differ.
        weights: one number each, not negative; equal by default.

    Raises:
        ValueError: not one weight per style.

    Examples:
        >>> import jax.numpy as jnp
        >>> a, b = (TermTargets((jnp.array([v]),), (None,), None) for v in (0.0, 4.0))
        >>> blend([a, b], [3.0, 1.0]).style[0].tolist()
        [1.0]
    """
    weights = (1.0,) * len(targets) if weights is None else weights
    if len(weights) != len(targets):
        raise ValueError(f"{len(targets)} style images need as many weights, not {len(weights)}")
    w = jnp.stack([jnp.asarray(weight, jnp.float32) for weight in weights])
    w = w / w.sum()

    def mean(*values: Array) -> Array:
        return jnp.tensordot(w.astype(values[0].dtype), jnp.stack(values), 1)

    first = targets[0]
    parts = {name: jax.tree.map(mean, *(getattr(t, name) for t in targets)) for name in first.averaged}
    return dataclasses.replace(first, **parts)


def _masks(features: Features, mask: Image | None) -> Masks:
    return {tap: None if mask is None else resize(mask, f.shape[:2]) for tap, f in features.items()}
