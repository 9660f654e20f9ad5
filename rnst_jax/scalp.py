"""From low to high field at the rim of a head and inside it: what no map of intensities alone can say.

Brain darkens with the field: its T1 grows and its T2 shrinks, while fat and fluid hardly change. Fast spin echoes lift
fat, and array coils are most sensitive at the surface. At low field the same intensity stands for fat in one place and
for brain in another, so the change depends on how deep a pixel lies.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from rnst_jax.types import Image, Scalar

_DEPTH = 0.14
"""How deep the rim reaches, as a share of the square root of the head's area (21 mm in an adult)."""
_EDGE = 0.02
"""Half the width of the soft edge below it, in the same unit (3 mm)."""
_BIN = 0.015
"""Width of the shells in which the profile of intensity against depth is taken, in the same unit."""
_SKULL = slice(2, 8)
"""The shells in which a skull can lie."""
_DARK, _RISE = 0.7, 1.3
"""A skull is darker than this share of the scalp outside it, and what follows is brighter than it by this factor."""
_AIR = (0.03, 0.12)
"""Where the air around a head is looked at: so far from it, in the same unit."""
_SAME = 1e-4
"""Share of a scan's range within which two values are one."""
_NOISY = 0.25
"""Share of the air that has another value than most of it where air was measured; half has if noise was cut off."""
_LOOKED_AT = 16
"""Slices of a scan, of many."""


def grow(mask: Bool[np.ndarray, "h w"], margin: float) -> Bool[np.ndarray, "h w"]:
    """All pixels within a margin of the head, as a share of the square root of its area.

    Examples:
        >>> square = np.zeros((40, 40), bool)
        >>> square[10:30, 10:30] = True
        >>> int(grow(square, 0.05).sum()), int(grow(square, 0.0).sum())  # 20 x 20 pixels and a row on each side
        (480, 400)
    """
    from scipy import ndimage

    inside = np.asarray(mask) > 0
    if not inside.any():
        return inside
    return np.asarray(ndimage.distance_transform_edt(~inside) <= margin * np.sqrt(inside.sum()))


def rim_weight(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """A weight that is 1 in scalp, skull and outer cortex and falls to 0 further in, from the head's outline alone.

    With the distance d of a pixel from the air, as a share of the square root of the head's area, it is
    1 / (1 + exp((d - 0.14) / 0.02)).

    Args:
        mask: the head, non-zero inside; if it is empty, so is the weight.

    Returns:
        float32 in [0, 1], 0 outside the head.

    Examples:
        >>> disc = np.hypot(*np.mgrid[-64:64, -64:64]) < 60
        >>> weight = rim_weight(disc)
        >>> bool(weight[64, 6] > 0.95), bool(weight[64, 64] < 0.01)
        (True, True)
    """
    depth = depth_below(mask)
    return np.where(depth > 0, 1 / (1 + np.exp(np.minimum((depth - _DEPTH) / _EDGE, 80))), 0).astype(np.float32)


def to_high_field(image: Image, rim: Image, rim_gain: Scalar, brain_darkening: Scalar) -> Image:
    """The rim brighter, the brain darker but for its brightest tones:  (1 + (r - 1) w) x / (g - (g - 1) x).

    With w the weight of the rim and g = 1 + (d - 1) (1 - w): in the rim (w = 1) the image is multiplied by r; deep
    inside (w = 0) dark tones are divided by d, and 1 stays 1. The map rises with x everywhere, so the order of
    intensities at one depth stays, and no edge appears that was not there.

    Args:
        image: x in [0, 1].
        rim: w in [0, 1], of `rim_weight`; where it is 0 in the whole image, the image is returned as it is.
        rim_gain: r.
        brain_darkening: d, 1 or more.

    Examples:
        >>> rim = jnp.array([[1.0, 0.0, 0.0]])
        >>> to_high_field(jnp.array([[0.5, 0.5, 1.0]]), rim, 1.2, 1.25).tolist()[0][0:3:2]
        [0.6000000238418579, 1.0]
    """
    g = 1 + (brain_darkening - 1) * (1 - rim) * jnp.any(rim > 0)
    return (1 + (rim_gain - 1) * rim) * image / (g - (g - 1) * image)


def shows_scalp(images: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]) -> bool:
    """Whether a scan shows a scalp outside a dark skull, as whole heads do, and brains cut out of them do not.

    The median intensity in shells of growing depth is taken per slice, and its median over the slices. There is a scalp
    if a shell at the depth of a skull is a minimum: darker than 0.7 times the brightest shell outside it, and than
    1 / 1.3 times the brightest of the four shells further in. So fat must not be suppressed, and the resolution must be
    that of a high-field scan.

    Args:
        images: slices, any intensity unit, air near 0.
        masks: the heads in them; slices without one are passed over.

    Examples:
        >>> depth = 60 - np.hypot(*np.mgrid[-64:64, -64:64])[None]
        >>> head, brain = np.where((depth > 4) & (depth < 9), 0.1, 1.0), np.ones_like(depth)
        >>> shows_scalp(head, depth > 0), shows_scalp(brain, depth > 0)
        (True, False)
    """
    profiles = [_profile(image, mask) for image, mask in zip(images, masks, strict=True) if np.any(mask)]
    if not profiles:
        return False
    profile = np.median(profiles, axis=0)
    for k in range(_SKULL.start, _SKULL.stop):
        outside, inside = profile[1:k].max(), profile[k + 1 : k + 5].max()
        if profile[k] < _DARK * outside and _RISE * profile[k] < inside:
            return True
    return False


def whole_heads(images: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]) -> bool:
    """Whether a scan shows whole heads: it `shows_scalp`, or the air around the heads holds noise, or there is none.

    Tools that cut the brain out of the head leave one value around it, and so do some scanners around whole heads.
    The skull alone would not do as a sign: high in the head it is cut obliquely, and its marrow is as bright as fat.

    Args:
        images: slices, any intensity unit, air darkest; of many, 16 at even distances are looked at.
        masks: the heads in them; slices without one are passed over.

    Examples:
        >>> disc = (np.hypot(*np.mgrid[-64:64, -64:64]) < 50)[None]
        >>> noise = 0.01 * np.random.default_rng(0).uniform(size=disc.shape)
        >>> whole_heads(disc * 1.0, disc), whole_heads(disc + noise, disc)
        (False, True)
    """
    masks = np.asarray(masks) > 0
    heads = np.flatnonzero(masks.any(axis=(1, 2)))
    if not heads.size:
        return False
    some = heads[np.unique(np.linspace(0, len(heads) - 1, _LOOKED_AT).round().astype(int))]
    return shows_scalp(images[some], masks[some]) or _noisy_air(images[some], masks[some])


def _noisy_air(images: np.ndarray, masks: np.ndarray) -> bool:
    """Whether the air near the heads holds more than one value; further away there may be no data."""
    near, far = _AIR
    air = images[np.stack([grow(mask, far) & ~grow(mask, near) for mask in masks])]
    if not air.size:  # a mask that covers the image says nothing
        return True
    return bool(np.mean(np.abs(air - np.median(air)) > _SAME * np.ptp(images)) > _NOISY)


def _profile(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Median intensity per shell; between its neighbours in a shell without a pixel, of which small heads have some."""
    shell = np.where(np.asarray(mask) > 0, np.floor(depth_below(mask) / _BIN), -1)
    numbers = np.arange(_SKULL.stop + 4)
    found = [k for k in numbers if np.any(shell == k)]
    if not found:
        return np.zeros(len(numbers))
    return np.interp(numbers, found, [np.median(image[shell == k]) for k in found])


def depth_below(mask: np.ndarray) -> np.ndarray:
    """Distance from the air as a share of the square root of the head's area; 0 outside.

    Examples:
        >>> square = np.ones((4, 4), bool)
        >>> depth_below(square)[0].tolist()  # the air lies just outside of the image
        [0.25, 0.25, 0.25, 0.25]
    """
    from scipy import ndimage

    inside = np.asarray(mask) > 0
    # a head that touches the border ends there, as its air lies just outside
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1]
    return distance / max(np.sqrt(inside.sum()), 1.0)
