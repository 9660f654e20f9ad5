"""Figures of a reconstruction. Matplotlib is imported only when one is drawn, and never opens a window."""

import dataclasses
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WINDOW = (0.5, 99.5)
"""Percentiles inside the head that become 0 and 1 before errors are taken, as in `rnst_jax.metrics.head_scores`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One image and what is written above it.

    Attributes:
        image: (H, W), any units.
        title: the first line.
        caption: the second line, scores say.
    """

    image: Float[np.ndarray, "height width"]
    title: str
    caption: str = ""


def comparison(
    before: Panel,
    style: Panel,
    after: Panel,
    reference: Panel,
    mask: Bool[np.ndarray, "height width"],
    zooms: tuple[float, float] = (1.0, 1.0),
) -> "Figure":
    """Before, after and reference in a row; below them the errors of the first two on one colour scale, and the style.

    An image is shown from its own median in air (black) to its own 99.5 percentile in the head (white). An error is
    |scaled image - scaled reference| in the head, each scaled by its own 0.5 and 99.5 percentiles there, so that a
    change of units or brightness is none.

    Args:
        before: the input, on the reference's grid.
        style: any size.
        after: the output, on the reference's grid.
        reference: the truth.
        mask: the head in the reference.
        zooms: (row, column) spacing of the reference's grid, in mm.

    Returns:
        A figure for `save`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 10.5), layout="constrained")
    axes = figure.subplots(2, 3)
    aspect = zooms[0] / zooms[1]
    spots = (*axes[0], axes[1, 2])
    for axis, panel in zip(spots, (before, after, reference, style), strict=True):
        axis.imshow(panel.image, cmap="gray", aspect=aspect, **_window(panel.image, mask))
        _name(axis, panel.title, panel.caption)

    truth = scaled(reference.image, mask)
    errors = [np.where(mask, np.abs(scaled(panel.image, mask) - truth), np.nan) for panel in (before, after)]
    top = float(np.nanpercentile(np.stack(errors), 99.5))
    for axis, error, panel in zip(axes[1], errors, (before, after), strict=False):
        shown: Any = axis.imshow(error, cmap="magma", vmin=0, vmax=top, aspect=aspect)
        axis.set_facecolor("black")
        _name(axis, f"|error| of the {panel.title.lower()}", f"mean {np.nanmean(error):.3f} in the head")
    bar = figure.colorbar(shown, ax=axes[1, :2], location="bottom", shrink=0.6, aspect=40, pad=0.02, extend="max")
    bar.set_label("|error|, both images scaled to [0, 1] in the head")
    return figure


def save(figure: "Figure", stream: BinaryIO, dpi: int = 100) -> None:
    """Write a figure as PNG without date or program name: equal figures are equal files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})


def _window(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    if image.shape != mask.shape:  # a style on a grid of its own
        return {}
    air = image[~mask] if not mask.all() else image
    return {"vmin": float(np.median(air)), "vmax": float(np.percentile(image[mask], _WINDOW[1]))}


def _name(axis: Any, title: str, caption: str) -> None:
    axis.set_title(f"{title}\n{caption}", fontsize=11)
    axis.set_xticks([])
    axis.set_yticks([])


def scaled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """From the 0.5 to the 99.5 percentile in the head, as errors are taken; an image or a volume."""
    low, high = np.percentile(image[mask], _WINDOW)
    return np.clip((image - low) / max(high - low, 1e-9), 0, 1)
