"""The scalp in a slice: where its fat lies, and whether a scan shows one. Host side, numpy and scipy.

Fat is brighter against brain at high field than at low field: the T1 of brain grows with the field strength while that
of fat hardly does, fast spin echoes lift fat, and array coils are most sensitive at the surface. A monotone map of
intensities cannot say that, for it does not know where a pixel lies.
"""

import numpy as np
from jaxtyping import Bool, Float

_DEPTH = 0.095
"""How deep scalp and skull reach, as a share of the square root of the head's area (15 mm in an adult)."""
_EDGE = 0.013
"""Half the width of the soft edge below them, in the same unit (2 mm)."""
_BIN = 0.015
"""Width of the shells in which the profile of intensity against depth is taken, in the same unit."""
_SKULL = slice(2, 8)
"""The shells in which a skull can lie."""
_DARK, _RISE = 0.7, 1.3
"""A skull is darker than this share of the scalp outside it, and what follows is brighter than it by this factor."""


def scalp_weight(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """A weight that is 1 in scalp and skull and falls to 0 in the brain, from the head's outline alone.

    With the distance d of a pixel from the air, as a share of the square root of the head's area, it is
    1 / (1 + exp((d - 0.095) / 0.013)).

    Args:
        mask: the head, non-zero inside; if it is empty, so is the weight.

    Returns:
        float32 in [0, 1], 0 outside the head.

    Example:
        >>> disc = np.hypot(*np.mgrid[-64:64, -64:64]) < 60
        >>> weight = scalp_weight(disc)
        >>> bool(weight[64, 6] > 0.95), bool(weight[64, 64] < 0.01)
        (True, True)
    """
    depth = _depth(mask)
    return np.where(depth > 0, 1 / (1 + np.exp(np.minimum((depth - _DEPTH) / _EDGE, 80))), 0).astype(np.float32)


def shows_scalp(images: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]) -> bool:
    """Whether a scan shows a scalp outside a dark skull, as whole heads do, and brains cut out of them do not.

    The median intensity in shells of growing depth is taken per slice, and its median over the slices. There is a scalp
    if a shell at the depth of a skull is a minimum: darker than 0.7 times the brightest shell outside it, and than
    1 / 1.3 times the brightest of the four shells further in. So fat must not be suppressed, and the resolution must be
    that of a high-field scan.

    Args:
        images: slices, any intensity unit, air near 0.
        masks: the heads in them; slices without one are passed over.

    Example:
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


def _profile(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Median intensity per shell; a shell without a pixel counts as 0."""
    shell = np.where(np.asarray(mask) > 0, np.floor(_depth(mask) / _BIN), -1)
    shells = [image[shell == k] for k in range(_SKULL.stop + 4)]
    return np.array([np.median(values) if values.size else 0.0 for values in shells])


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance from the air as a share of the square root of the head's area; 0 outside."""
    from scipy import ndimage

    inside = np.asarray(mask) > 0
    # a head that touches the border ends there, as its air lies just outside
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1]
    return distance / max(np.sqrt(inside.sum()), 1.0)
