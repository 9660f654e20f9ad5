"""The style scan brought to the content's grid: which slice, which voxel size, which matrix."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from rnst_jax.io.planes import Slices

_SIZES_ALIKE = 1.12
"""Heads of adults of this size ratio, or less, are taken for what they are."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedStyle:
    """Style slices on the content's grid.

    Attributes:
        stack: (n, H, W) float32, one per content slice, 0 where the style has no data.
        masks: the heads in them.
        index: which slice of the style's stack each was made from.
        warnings: what the user should know, one line each.
    """

    stack: Float[np.ndarray, "n height width"]
    masks: Bool[np.ndarray, "n height width"]
    index: Int[np.ndarray, " n"]
    warnings: tuple[str, ...] = ()


def matching_slices(content: Bool[np.ndarray, " n"], style: Bool[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """For each content slice, the style slice at the same relative position.

    With equal numbers of slices, the same index. Otherwise the positions are relative to the part of each scan that
    holds a head: a scan with more air above the head must not shift the anatomy. A style slice without a head
    is replaced by the closest one that has one.

    Args:
        content: which content slices hold a head.
        style: the same for the style; at least one does.

    Examples:
        >>> matching_slices(np.ones(2, bool), np.array([False, True, True, True, True, False])).tolist()
        [2, 4]
    """
    heads = np.flatnonzero(style)
    if len(content) == len(style):
        wanted = np.arange(len(content), dtype=float)
    else:
        inside = np.flatnonzero(content) if content.any() else np.arange(len(content))
        start, length = inside[0], inside[-1] + 1 - inside[0]
        share = (np.arange(len(content)) + 0.5 - start) / length
        wanted = np.floor(heads[0] + share * (heads[-1] + 1 - heads[0]))
    return heads[np.abs(wanted[:, None] - heads[None, :]).argmin(axis=1)]


def alike_slices(
    index: Int[np.ndarray, " n"],
    style: Slices,
    content: Float[np.ndarray, "n height width"],
    style_masks: Bool[np.ndarray, "m h w"],
    content_masks: Bool[np.ndarray, "n height width"],
) -> Int[np.ndarray, " n"]:
    """The choice of slices in a style that is a brain without its scalp: those that show what the content's show.

    Where the intensities of a style slice are not those of a content slice (`rnst_jax.style.likeness`), because it lies
    along a fissure, say, the most alike slice of the style takes its place.

    Args:
        index: the choice by position, of `matching_slices`.
        style: scaled.
        content: the content's slices, scaled.
        style_masks: the heads of the style's stack.
        content_masks: those of the content's.
    """
    import jax.numpy as jnp  # for which a refusal must not wait

    from rnst_jax.style.likeness import most_alike

    images, heads, styles, style_heads = (
        jnp.asarray(a, jnp.float32) for a in (content, content_masks, style.stack, style_masks)
    )
    return np.asarray(most_alike(images, heads, styles, style_heads, jnp.asarray(index)))


def prepare_style(
    style: Slices,
    content: Slices,
    style_masks: Bool[np.ndarray, "m h w"],
    content_masks: Bool[np.ndarray, "n height width"],
    whole_heads: bool = True,
) -> PreparedStyle:
    """One style slice per content slice, with its voxel size and matrix, its head where the content's head is.

    Which one: `matching_slices`, and for a style without its scalp `alike_slices`: the intensities of whole heads say
    little of the brain.

    In-plane the style is smoothed by what the content's larger voxels average over (a Gaussian with the variance that
    a box of the content's voxel has beyond a box of the style's), then sampled by cubic splines and clipped to its own
    range. The centres of mass of the two masks fall on each other. Adult heads differ by a few percent in size; where
    the style's is smaller or larger than the content's by more than 12 percent (median over the slices, side of a
    square of the same area), its voxel size is taken to be wrong: it is scaled to the content's head, with a warning.

    Args:
        style: already scaled, so that 0 is air: that is what is padded.
        content: gives the grid; scaled as well.
        style_masks: the heads of the style's stack, at least one not empty.
        content_masks: the heads of the content's stack; an empty one counts as centred.
        whole_heads: whether the style shows its scalp.

    Raises:
        ValueError: no style slice holds a head.
    """
    has_head = np.asarray(style_masks.any(axis=(1, 2)))
    if not has_head.any():
        raise ValueError("no head in any style slice")
    index = matching_slices(np.asarray(content_masks.any(axis=(1, 2))), has_head)
    if not whole_heads:
        index = alike_slices(index, style, content.stack, style_masks, content_masks)
    shape = content.stack.shape[1:]
    factor = np.array(content.zooms) / np.array(style.zooms)
    ratio = _size_ratio(style_masks[index], content_masks) / float(np.sqrt(factor.prod()))
    warnings = ()
    if not 1 / _SIZES_ALIKE < ratio < _SIZES_ALIKE:
        factor = factor * ratio
        warnings = (
            f"the style's heads are {ratio:.2f} times as large as the content's; its voxel size is taken to be wrong "
            "and it is scaled to fit",
        )
    blur = np.sqrt(np.maximum(factor**2 - 1, 0) / 12)
    stack = np.zeros((len(index), *shape), np.float32)
    masks = np.zeros((len(index), *shape), bool)
    for position, source in enumerate(index):
        image, mask = style.stack[source], style_masks[source]
        # Output pixel p shows the style at offset + factor p.
        offset = _centre(mask) - factor * _centre(content_masks[position])
        image = ndimage.gaussian_filter(image, blur, mode="nearest")
        sampled = _sample(image, factor, offset, shape, order=3)
        stack[position] = np.clip(sampled, min(image.min(), 0), image.max())
        masks[position] = _sample(mask.astype(np.float32), factor, offset, shape, order=1) > 0.5
    return PreparedStyle(stack, masks, index, warnings)


def _size_ratio(style: Bool[np.ndarray, "n h w"], content: Bool[np.ndarray, "n height width"]) -> float:
    """Side of the style's heads over that of the content's, in pixels; the median over slices that show both."""
    areas = np.stack([style.sum(axis=(1, 2)), content.sum(axis=(1, 2))]).astype(float)
    both = (areas > 0).all(axis=0)
    return float(np.median(np.sqrt(areas[0, both] / areas[1, both]))) if both.any() else 1.0


def _centre(mask: Bool[np.ndarray, "h w"]) -> np.ndarray:
    if not mask.any():
        return (np.array(mask.shape) - 1) / 2
    return np.array(ndimage.center_of_mass(mask))


def _sample(image: np.ndarray, factor: np.ndarray, offset: np.ndarray, shape: tuple[int, ...], order: int):
    # scipy's stubs know only a number as offset.
    return ndimage.affine_transform(image, factor, offset, output_shape=shape, order=order)  # pyright: ignore[reportArgumentType]
