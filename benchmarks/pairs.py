"""The pairs of images on which we are compared with what is simple: real ones and simulated ones.

``real``: sub-01 to sub-03 at 0.055 T and 3 T, T1w and T2w, 4 slices each, styles from another subject. ``simulated``:
the MNI152 template of nilearn (2 axial, 2 coronal, 2 sagittal slices), degraded by `rnst_jax.simulate.degrade` with
noise of 5, 10, 15, 20 and 25 of 255; the style is another slice of the template in the same plane, 16 mm away.
``coarse``: the same with the template at 2 mm, for what would take too long. ``fields``: the slices at 1 mm as seen at
0.055, 0.3 and 1.5 T, by published relaxation times and nilearn's tissue maps (`rnst_jax.physics.field.low_field`), with
half, two thirds and four fifths of k-space and noise of 15, 10 and 5 of 255. ``elsewhere``: the same in six other
slices, on which no number was chosen.
"""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import jax.numpy as jnp
import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
from scipy import ndimage
from skimage.filters import threshold_otsu

from rnst_jax.denoise import estimate_noise
from rnst_jax.io import nifti
from rnst_jax.io.planes import to_slices
from rnst_jax.io.prepare import prepare
from rnst_jax.mask import head_mask
from rnst_jax.physics.field import low_field
from rnst_jax.simulate import degrade
from rnst_jax.style import most_alike

NOISE = (5, 10, 15, 20, 25)
PLANES = {"axial": (2, (86, 100)), "coronal": (1, (98, 118)), "sagittal": (0, (70, 82))}
"""Of the template at 1 mm: the axis and two positions; the styles lie 16 mm further."""
ELSEWHERE = {"axial": (2, (76, 112)), "coronal": (1, (88, 128)), "sagittal": (0, (58, 64))}
"""Other positions, for a look at slices on which no number was chosen."""
FIELDS = ((0.055, 0.5, 15), (0.3, 0.67, 10), (1.5, 0.8, 5))
"""In T, with the share of k-space that is acquired and the noise of 255."""


class Group(NamedTuple):
    """Slices of one size that are reconstructed together."""

    name: dict[str, Any]
    y: np.ndarray
    style: np.ndarray
    mask: np.ndarray
    style_mask: np.ndarray
    sigma: np.ndarray
    reference: np.ndarray
    reference_mask: np.ndarray


def real(
    data: pathlib.Path, styles: dict[str, str] = common.STYLES, style_contrasts: dict[str, str] | None = None
) -> list[Group]:
    """The real pairs, prepared as the command line prepares them.

    Args:
        data: the folder with sub-01 and so on.
        styles: whose 3 T scan is the style of whom.
        style_contrasts: the style's contrast for each of the content's, the same by default.
    """
    groups = []
    for contrast in ("T1w", "T2w"):
        style_contrast = (style_contrasts or {}).get(contrast, contrast)
        for subject, style in styles.items():
            content = data / subject / f"{subject}_acq-0p055T_{contrast}.nii.gz"
            case = prepare(content, data / style / f"{style}_acq-3T_{style_contrast}.nii.gz")
            registered = nifti.read(data / subject / f"{subject}_acq-3T_space-0p055T_{contrast}.nii.gz")
            reference = to_slices(registered, case.slices.plane).stack
            sigma = np.asarray(case.noise) / (case.scaling.hi - case.scaling.lo)
            masks = scored_heads(reference)
            name = {"set": "real", "subject": subject, "contrast": contrast, "noise": None, "plane": "axial"}
            groups.append(Group(name, case.y, case.style, case.mask, case.style_mask, sigma, reference, masks))
    return groups


def template_slices(volume: np.ndarray, place: tuple[int, tuple[int, ...]], shift: int = 0, mm: int = 1) -> np.ndarray:
    """The slices of the template with voxels of ``mm`` at a place of `PLANES`, or those ``shift`` mm further."""
    axis, positions = place
    return np.stack([np.rot90(np.take(volume, (p + shift) // mm, axis)) for p in positions])


def heads(stack: np.ndarray) -> np.ndarray:
    """The mask of the head in every slice."""
    return np.stack([head_mask(x) for x in stack])


def scored_heads(stack: np.ndarray) -> np.ndarray:
    """The heads in references as the project's scorer draws them: a little wider than `rnst_jax.mask.head_mask`.

    Per slice: the square root of the image scaled to [0, 1], smoothed by 2 pixels; what is above 0.6 of Otsu's
    threshold, the largest piece of it, its holes filled.
    """

    def one(image: np.ndarray) -> np.ndarray:
        image = image.astype(np.float64)
        low, high = image.min(), image.max()
        smooth = ndimage.gaussian_filter(np.sqrt((image - low) / (high - low)), 2)
        pieces, _ = ndimage.label(smooth > 0.6 * threshold_otsu(smooth))
        largest = np.bincount(pieces.ravel())[1:].argmax() + 1
        return ndimage.binary_fill_holes(pieces == largest)

    return np.stack([one(image) for image in stack])


def simulated_group(name: dict[str, Any], y: Any, clean: np.ndarray, style: np.ndarray, masks: list) -> Group:
    """A group from what a simulation gave: scaled, with the heads and the noise found in it, and like styles.

    ``masks`` are those of the clean slices and of the styles, of which the command line's choice is taken.
    """
    y = np.asarray(y / np.percentile(y, 99.95)).clip(0, 1)
    found = heads(y).astype(np.float32)
    sigma = np.asarray(jax.vmap(estimate_noise)(jnp.asarray(y), jnp.asarray(found)))
    style_masks = masks[1].astype(np.float32)
    chosen = np.asarray(most_alike(y, found, style, style_masks, np.arange(len(y))))
    return Group(name, y, style[chosen], found, style_masks[chosen], sigma, clean, masks[0])


def simulated(other_plane: bool = False, mm: int = 1) -> list[Group]:
    """The simulated pairs, one group per plane and noise level; with styles of the next plane if asked for."""
    template = np.asarray(load_mni152_template(resolution=mm).get_fdata(), np.float32)
    groups = []
    for plane, following in zip(PLANES, [*PLANES][1:] + [*PLANES][:1], strict=True):
        clean = template_slices(template, PLANES[plane], mm=mm)
        style = template_slices(template, PLANES[following if other_plane else plane], 16, mm)
        # at 2 mm the published presets were scored, in hours, before the outline was the scorer's
        masks = [scored_heads(clean) if mm == 1 else heads(clean), heads(style)]
        # the same receive fields, and the same noise but for its size, at every level
        keys = jax.random.split(jax.random.key(PLANES[plane][0]), len(clean))
        for noise in NOISE:
            y = jax.vmap(lambda x, key, noise=noise: degrade(x, key, noise=noise / 255))(jnp.asarray(clean), keys)
            kind = "simulated" if mm == 1 else f"simulated at {mm} mm"
            name = {"set": kind, "subject": "mni152", "contrast": "T1w", "noise": noise, "plane": plane}
            groups.append(simulated_group(name, y, clean, style, masks))
    return groups


def fields(planes: dict[str, Any] = PLANES, where: str = "") -> list[Group]:
    """The template as `rnst_jax.physics.field.low_field` shows it at other fields, one group per plane and field."""
    template = np.asarray(load_mni152_template(resolution=1).get_fdata(), np.float32)
    tissues = {"grey": load_mni152_gm_template(resolution=1), "white": load_mni152_wm_template(resolution=1)}
    maps = {name: np.asarray(image.get_fdata(), np.float32).clip(0, 1) for name, image in tissues.items()}
    maps["csf"] = (1 - maps["grey"] - maps["white"]).clip(0, 1) * (template > 0)
    groups = []
    for plane, place in planes.items():
        clean, style = (template_slices(template, place, shift) for shift in (0, 16))
        masks = [scored_heads(clean), heads(style)]
        fractions = {name: jnp.asarray(template_slices(values, place)) for name, values in maps.items()}
        keys = jax.random.split(jax.random.key(place[0]), len(clean))
        for tesla, keep, noise in FIELDS:
            options = {"field": tesla, "keep": keep, "taper": 0.5, "noise": noise / 255}
            y = jax.vmap(lambda x, key, maps, options=options: low_field(x, key, maps=maps, **options))(
                jnp.asarray(clean), keys, fractions
            )
            name = {"set": f"{tesla} T{where}", "subject": "mni152", "contrast": "T1w", "noise": noise, "plane": plane}
            groups.append(simulated_group(name, y, clean, style, masks))
    return groups


SIMULATED: dict[str, Callable[[], list[Group]]] = {
    "simulated": simulated,
    "coarse": functools.partial(simulated, mm=2),
    "fields": fields,
    "elsewhere": functools.partial(fields, ELSEWHERE, " elsewhere"),
}
"""The sets that need no data."""
