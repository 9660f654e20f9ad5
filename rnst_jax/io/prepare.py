"""From files to the batch that a solver takes, and from its result to a volume."""

import dataclasses
import pathlib
import re
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from nibabel.affines import voxel_sizes

from rnst_jax.io import anatomy, nifti, volumes
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.intensity import Scaling, robust_scaling
from rnst_jax.io.nifti import Volume
from rnst_jax.io.planes import Slices, from_slices, plane_of, to_slices
from rnst_jax.io.style import prepare_style
from rnst_jax.mask import bounding_box, head_mask

_SMALLEST_SIDE = 16
"""Slices narrower than this have no feature left after three poolings."""
_CONTRASTS = re.compile(r"(T1w|T2w|FLAIR|PDw|T2starw|T1map|T2map|SWI)", re.IGNORECASE)
_TINY = 0.02
"""Share of a slice below which a mask is hardly a head."""
_FEWEST = 64
"""Pixels of a mask below which a slice is copied: those of one patch of a denoiser."""
_NEGATIVE = 0.001
"""Share of voxels below 0 from which a scan is no magnitude image."""
_BRIGHT_AIR = 5.0
"""Median over scatter of the air from which a constant was added to a scan; it is 1.9 in noise."""
_OBLIQUE = 15.0
"""Degrees between the voxel axes and the scanner's from which the user is told."""


Box = tuple[slice, slice]


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A content and a style scan, ready for `rnst_jax.reconstruct`; the batch holds the slices that show a head.

    Attributes:
        content: the volume that is written: the whole scan, or the slices asked for.
        slices: how the whole scan was cut.
        stack: (n, H, W) the slices asked for, in the content's units.
        numbers: (n,) their indices in the content's file.
        heads: (n,) which of them hold a head, and so are in the batch (B of them).
        y: (B, H, W) in [0, 1].
        style: (B, H, W) in [0, 1], on the content's grid.
        mask: (B, H, W), 1 in the content's head.
        style_mask: (B, H, W), 1 in the style's head.
        style_numbers: (B,) index of the style slice used, in the style's stack.
        style_has_scalp: whether it shows whole heads.
        stripped: whether the content's brain was cut out of the head.
        scaling: between the content's units and [0, 1].
        warnings: what the user should know, one line each.
        heads_box: rows and columns that hold all heads of the whole content scan.
        style_box: the same for the style, on the content's grid.
        whole_mask: (N, H, W), the heads in all slices of the content scan.
        positions: (B,) where the batch lies among them.
    """

    content: Volume
    slices: Slices
    stack: Float[np.ndarray, "n h w"]
    numbers: tuple[int, ...]
    heads: Bool[np.ndarray, " n"]
    y: Float[np.ndarray, "b h w"]
    style: Float[np.ndarray, "b h w"]
    mask: Float[np.ndarray, "b h w"]
    style_mask: Float[np.ndarray, "b h w"]
    style_numbers: tuple[int, ...]
    style_has_scalp: bool
    stripped: bool
    scaling: Scaling
    warnings: tuple[str, ...]
    heads_box: Box
    style_box: Box
    whole_mask: Bool[np.ndarray, "all h w"]
    positions: Int[np.ndarray, " b"]

    @property
    def raw(self) -> Float[np.ndarray, "b h w"]:
        """The batch in the content's units, for what needs air as it was measured."""
        return self.stack[self.heads]

    @property
    def noise(self) -> Any:
        """`rnst_jax.denoise.estimate_noise` of each slice of the batch, a JAX array (B,) in the content's units.

        Measured on the scan as it came: the scaling to [0, 1] takes the pedestal of noise in air away.
        """
        import jax  # for which a refusal must not wait
        import jax.numpy as jnp

        from rnst_jax.denoise import estimate_noise

        return jax.vmap(estimate_noise)(jnp.asarray(self.raw), jnp.asarray(self.mask))

    @property
    def whole(self) -> tuple[Float[np.ndarray, "heads h w"], Float[np.ndarray, "heads h w"]]:
        """All slices of the content scan that show a head, in [0, 1], and their masks."""
        heads = self.whole_mask.any(axis=(1, 2))
        return self.scaling.apply(self.slices.stack[heads]), self.whole_mask[heads].astype(np.float32)

    @property
    def receive_field(self) -> Float[np.ndarray, "b h w"]:
        """`rnst_jax.bias.receive_field` of the whole content scan, at the slices of the batch."""
        from rnst_jax.bias import receive_field  # brings JAX, for which a refusal must not wait

        return receive_field(self.scaling.apply(self.slices.stack), self.whole_mask)[self.positions]

    def crop(self, batch: np.ndarray) -> np.ndarray:
        """A batch cut to the box of all heads of the content scan, the same whichever slices were asked for."""
        return _cut(batch, self.heads_box)

    def crop_style(self, batch: np.ndarray) -> np.ndarray:
        """A batch of styles cut to the box of the style's heads."""
        return _cut(batch, self.style_box)

    def uncrop(self, images: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "b height width"]:
        """Cropped images at their place in whole slices, air 0."""
        whole = np.zeros(self.y.shape, np.float32)
        _cut(whole, self.heads_box)[:] = images
        return whole

    def volume(self, images: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "i j k"]:
        """The volume to write: the batch in the content's units, slices without a head as they were."""
        stack = self.stack.copy()
        stack[self.heads] = self.scaling.invert(images)
        return from_slices(stack, self.slices)


def prepare(
    content: pathlib.Path | Volume,
    style_path: pathlib.Path,
    mask_path: pathlib.Path | None = None,
    plane: str = "auto",
    wanted: tuple[int | None, int | None] = (None, None),
    shows: str = "auto",
) -> Case:
    """Read, check, cut, mask and scale a content and a style scan.

    Scaling and the choice of style slices always see the whole content scan, so that a slice comes out the same
    whether it is reconstructed alone or with the others.

    Args:
        content: the low-field scan, a file or what was read from one.
        style_path: the high-field scan of somebody else.
        mask_path: the head of the content on its grid, non-zero inside; by default it is found slice by slice.
        plane: see `rnst_jax.io.planes.to_slices`.
        wanted: first slice and one past the last, by index in the content's file; None for its ends.
        shows: what both scans show, see `rnst_jax.io.anatomy.has_scalp`.

    Raises:
        RefusedInput: a file cannot be used.
        UsageError: the range of slices is empty or outside the volume.
    """
    content = content if isinstance(content, Volume) else volumes.read(content)
    content_path = content.path
    style_volume = volumes.read(style_path)
    slices = to_slices(content, plane)
    style = to_slices(style_volume, slices.plane)
    for path, cut in ((content_path, slices), (style_path, style)):
        height, width = cut.stack.shape[1:]
        if min(height, width) < _SMALLEST_SIDE:
            raise RefusedInput(
                f"{path}: its {cut.plane} slices are {height} x {width} pixels, at least {_SMALLEST_SIDE} x "
                f"{_SMALLEST_SIDE} are needed; choose another --plane"
            )
    start, stop = _range(content_path, wanted, len(slices.stack))

    masks = _masks(slices) if mask_path is None else _read_mask(mask_path, content, slices.plane)
    few = (masks.sum(axis=(1, 2)) < _FEWEST) & masks.any(axis=(1, 2))
    masks[few] = False
    style_masks = _masks(style)
    if not style_masks.any():
        raise RefusedInput(f"{style_path}: no head found in any {style.plane} slice; give another style scan")
    positions = slices.positions(start, stop)
    heads = np.asarray(masks[positions].any(axis=(1, 2)))
    if not heads.any():
        remedy = "give --mask, or other --slices" if mask_path is None else "give other --slices or another mask"
        raise RefusedInput(f"{content_path}: no head found in the slices asked for; {remedy}")

    scaling = robust_scaling(slices.stack, masks)
    style_scaling = robust_scaling(style.stack, style_masks)
    scaled, scaled_style = (
        dataclasses.replace(cut, stack=own.apply(cut.stack)) for cut, own in ((slices, scaling), (style, style_scaling))
    )
    scalp = anatomy.has_scalp(slices.stack, masks, shows), anatomy.has_scalp(style.stack, style_masks, shows)
    fitted = prepare_style(scaled_style, scaled, style_masks, masks, scalp[1])
    batch = np.arange(len(slices.stack))[positions][heads]
    numbers = tuple(slices.number(int(n)) for n in np.arange(len(slices.stack))[positions])
    return Case(
        content=nifti.sub_volume(content, slices.axis, start, stop) if wanted != (None, None) else content,
        slices=slices,
        stack=slices.stack[positions],
        numbers=numbers,
        heads=heads,
        y=scaled.stack[batch],
        style=fitted.stack[batch],
        mask=masks[batch].astype(np.float32),
        style_mask=fitted.masks[batch].astype(np.float32),
        style_numbers=tuple(style.number(int(n)) for n in fitted.index[batch]),
        style_has_scalp=scalp[1],
        stripped=not scalp[0],
        scaling=scaling,
        warnings=_warnings(content_path, style_volume, slices, style, numbers, masks[positions], mask_path is not None)
        + _unlike_a_magnitude(volumes.label(content_path), slices.stack, masks)
        + anatomy.warnings(slices.stack, masks, scalp, (volumes.label(content_path), volumes.label(style_path)))
        + fitted.warnings,
        heads_box=bounding_box(masks),
        style_box=bounding_box(fitted.masks),
        whole_mask=masks,
        positions=batch,
    )


def _cut(batch: np.ndarray, box: Box) -> np.ndarray:
    return batch[:, box[0], box[1]]


def _masks(slices: Slices) -> Bool[np.ndarray, "n h w"]:
    return np.stack([head_mask(image) for image in slices.stack])


def _read_mask(path: pathlib.Path, content: Volume, plane: str) -> Bool[np.ndarray, "n h w"]:
    volume = volumes.read(path, constant=True)
    if not nifti.same_grid(volume, content):
        raise RefusedInput(
            f"{path}: shape {volume.data.shape} or affine differs from the content's {content.data.shape}; "
            "resample the mask to the content"
        )
    if not volume.data.any():
        raise RefusedInput(f"{path}: the mask is empty; draw the head in it, or leave --mask out")
    return to_slices(volume, plane).stack != 0


def _range(path: pathlib.Path, wanted: tuple[int | None, int | None], count: int) -> tuple[int, int]:
    start = 0 if wanted[0] is None else wanted[0]
    stop = count if wanted[1] is None else wanted[1]
    if not 0 <= start < stop <= count:
        raise UsageError(f"{path}: --slices {start}:{stop} is not a range within its {count} slices; give 0:{count}")
    return start, stop


def _warnings(
    content_path: pathlib.Path,
    style_volume: Volume,
    content: Slices,
    style: Slices,
    numbers: tuple[int, ...],
    masks: Bool[np.ndarray, "n h w"],
    given: bool,
) -> tuple[str, ...]:
    found = []
    content_name, style_name = volumes.label(content_path), volumes.label(style_volume.path)
    for name, cut in ((content_name, content), (style_name, style)):
        if cut.oblique > _OBLIQUE:
            found.append(
                f"{name}: oblique by {cut.oblique:.0f} degrees; slices follow the voxel axes, so '{cut.plane}' "
                "is only close to that plane"
            )
    own, other = (_CONTRASTS.findall(name)[-1:] for name in (content_name, style_name))
    if own and other and own[0].lower() != other[0].lower():
        found.append(
            f"{style_name}: by its name a {other[0]}, and the content a {own[0]}; give a style of one contrast"
        )
    zooms = voxel_sizes(style_volume.affine)
    if zooms.max() > 1.5 * zooms.min() and (taken := plane_of(style_volume.affine)) != style.plane:
        found.append(f"{style_name}: was taken in {taken} slices and is cut into {style.plane} ones, which are blurred")
    if max(style.zooms) > 1.5 * min(content.zooms):
        found.append(
            f"{style_name}: its {style.plane} pixels ({style.zooms[0]:.2g} x {style.zooms[1]:.2g} mm) are coarser "
            f"than the content's ({content.zooms[0]:.2g} x {content.zooms[1]:.2g} mm); it can add little detail"
        )
    shares = masks.mean(axis=(1, 2))
    if not shares.all():
        empty = ", ".join(str(n) for n, share in zip(numbers, shares, strict=True) if share == 0)
        reason = f"the mask has fewer than {_FEWEST} pixels" if given else "no head found"
        remedy = "" if given else " (--mask overrides this)"
        found.append(f"{content_name}: {reason} in slice {empty}; copied as it is{remedy}")
    if ((shares > 0) & (shares < _TINY)).any():
        tiny = ", ".join(str(n) for n, share in zip(numbers, shares, strict=True) if 0 < share < _TINY)
        found.append(f"{content_name}: the head fills less than {_TINY:.0%} of slice {tiny}; look whether it is one")
    return tuple(found)


def _unlike_a_magnitude(name: str, stack: np.ndarray, masks: np.ndarray) -> tuple[str, ...]:
    """Warnings of what makes the air's noise look larger than it is."""
    remedy = "its noise is overestimated; give the scan as the scanner wrote it"
    if (share := np.mean(stack < 0)) > _NEGATIVE:
        return (f"{name}: {share:.0%} of its voxels are below 0, where a magnitude image has none; {remedy}",)
    air = stack[~masks & (stack != 0)]
    if air.size and np.median(air) > _BRIGHT_AIR * air.std():
        return (f"{name}: its air is bright, as if a constant had been added; {remedy}",)
    return ()
