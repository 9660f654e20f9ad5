"""Slices of a volume, the same way up whatever the orientation of the file."""

import dataclasses

import nibabel as nib
import numpy as np
from jaxtyping import Float
from nibabel.affines import obliquity, voxel_sizes

from rnst_jax.io.nifti import Volume, millimetres

# Scanner axes 0, 1, 2 are R, A, S. Per plane: the axis across the slices, the one up along the rows, and the one to
# the right along the columns.
_AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}

PLANES = tuple(_AXES)
"""The names of the planes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """A volume as a stack of slices in display orientation.

    Rows run from anterior to posterior (axial) or from superior to inferior (coronal, sagittal), columns from the
    patient's left to right (axial, coronal) or from posterior to anterior (sagittal), slices towards superior (axial),
    anterior (coronal) or right (sagittal): each to the closest axis of the scanner.

    Attributes:
        stack: (n, H, W) float32.
        zooms: size of a pixel in mm along a column and along a row: (row spacing, column spacing).
        slice_mm: distance of the slices in mm.
        plane: axial, coronal or sagittal.
        order: the voxel axes that became slice, row and column.
        flips: which of these three run against their voxel axis.
        oblique: the largest angle between a voxel axis and the closest scanner axis, in degrees.
    """

    stack: Float[np.ndarray, "n height width"]
    zooms: tuple[float, float]
    slice_mm: float
    plane: str
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    oblique: float

    @property
    def axis(self) -> int:
        """The voxel axis across the slices."""
        return self.order[0]

    def positions(self, start: int, stop: int) -> slice:
        """Where the slices ``start`` to ``stop - 1`` of the file lie in the stack."""
        n = len(self.stack)
        return slice(n - stop, n - start) if self.flips[0] else slice(start, stop)

    def number(self, position: int) -> int:
        """The index in the file of the slice at a position of the stack."""
        return len(self.stack) - 1 - position if self.flips[0] else position


def plane_of(affine: Float[np.ndarray, "4 4"]) -> str:
    """The plane that a scan was taken in: across its thickest voxel axis; axial where there is none (isotropic).

    Examples:
        >>> plane_of(np.diag([1.0, 5.0, 1.0, 1.0])), plane_of(np.eye(4))
        ('coronal', 'axial')
    """
    sizes = voxel_sizes(affine)
    world = nib.io_orientation(affine)[:, 0].astype(int)
    thick = {int(w) for w, size in zip(world, sizes, strict=True) if size > 0.99 * sizes.max()}
    return next(plane for plane, axes in _AXES.items() if axes[0] in thick)


def to_slices(volume: Volume, plane: str = "auto") -> Slices:
    """Cut a volume into slices.

    Args:
        volume: any orientation, oblique ones included.
        plane: 'axial', 'coronal' or 'sagittal': across the voxel axis closest to S, A or R; 'auto': see `plane_of`.

    Raises:
        ValueError: no such plane.
    """
    if plane == "auto":
        plane = plane_of(volume.affine)
    if plane not in _AXES:
        raise ValueError(f"no plane '{plane}'; there are {', '.join(PLANES)}")
    orientation = nib.io_orientation(volume.affine)
    world, sign = orientation[:, 0].astype(int).tolist(), orientation[:, 1]
    across, up, right = (world.index(axis) for axis in _AXES[plane])
    # Rows are counted downwards, so the upward axis is the one to turn round when it is not yet.
    flips = (bool(sign[across] < 0), bool(sign[up] > 0), bool(sign[right] < 0))
    stack = np.ascontiguousarray(_flip(volume.data.transpose(across, up, right), flips))
    sizes = voxel_sizes(volume.affine) * millimetres(volume.header)
    return Slices(
        stack=stack,
        zooms=(float(sizes[up]), float(sizes[right])),
        slice_mm=float(sizes[across]),
        plane=plane,
        order=(across, up, right),
        flips=flips,
        oblique=float(np.degrees(obliquity(volume.affine).max())),
    )


def from_slices(stack: Float[np.ndarray, "n height width"], slices: Slices) -> Float[np.ndarray, "i j k"]:
    """The exact inverse of `to_slices`: a stack (of any number of slices) back in the file's voxel order."""
    return np.ascontiguousarray(_flip(stack, slices.flips).transpose(np.argsort(slices.order)))


def _flip(stack: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    return stack[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
