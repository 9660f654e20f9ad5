"""The report of a reconstruction: one HTML file that needs nothing else, neither network nor other files."""

import base64
import dataclasses
import html
import io
import json
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rnst_jax.io.atomic import replacing
from rnst_jax.io.planes import PLANES
from rnst_jax.report.figures import scaled

_MOST_VOXELS = 8_000_000
"""Of a picture volume; larger ones are shown at every second or third voxel, so that the file stays below 60 MB."""

_RESIDUAL = "Residual A^H (A x - y) of the output x against the measured k-space y"

Volume3 = Float[np.ndarray, "depth rows columns"]


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """What is shown, on one grid: axial slices towards superior, rows from anterior, columns from the left.

    Attributes:
        content: the input, in its units.
        output: the same units.
        style: what was given as style for each slice, any units, 0 where none was.
        mask: the head in the input.
        mm: distance of slices, rows and columns.
        plane: that of the acquisition, shown first.
        sigma: standard deviation of the noise, in the units of the content.
        reference: for comparison only, any units.
        residual: of a forward model, A^H (A x - y), the units of the content; and |A x - y| / |y|.
    """

    content: Volume3
    output: Volume3
    style: Volume3
    mask: Bool[np.ndarray, "depth rows columns"]
    mm: tuple[float, float, float]
    plane: str
    sigma: float
    reference: Volume3 | None = None
    residual: tuple[Volume3, float] | None = None


def write(
    path: pathlib.Path,
    title: str,
    pictures: Pictures,
    record: Mapping[str, Any],
    traces: Mapping[str, np.ndarray],
    scores: Sequence[Mapping[str, float]] = (),
    force: bool = False,
) -> None:
    """Write the report, whole or not at all.

    Args:
        path: the .html file.
        title: heading of the page.
        pictures: the volumes.
        record: the sidecar's content.
        traces: per name (slices, iterations), as `rnst_jax.Result.trace`.
        scores: per slice, with the slice number under ``slice``; empty without a reference.
        force: whether an existing file may be replaced.

    Raises:
        UsageError: the place cannot be used.
    """
    template = string.Template(pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    warnings = "".join(f"<li>{html.escape(text)}</li>" for text in record.get("Warnings", ()))
    planes = "".join(
        f'<label><input type="radio" name="plane" value="{p}"{" checked" * (p == pictures.plane)}> {p}</label>'
        for p in PLANES
    )
    page = template.substitute(
        title=html.escape(title),
        warnings=f"<ul>{warnings}</ul>" if warnings else "",
        planes=planes,
        histogram=_histogram(pictures),
        scores=f"<h2>Scores against the reference</h2>{_table(scores)}" if scores else "",
        traces=_traces(traces),
        provenance=_nested(record),
        # a closing tag in a file's name must not end the script element
        data=json.dumps(_data(pictures)).replace("<", "\\u003c"),
    )
    with replacing(path, force) as stream:
        stream.write(page.encode("utf-8"))


class _Layer(NamedTuple):
    """One picture of the page as bytes; ``ends`` says what its darkest and brightest stand for if it has a sign."""

    name: str
    caption: str
    values: np.ndarray
    ends: tuple[str, str] | None = None

    def entry(self, thin: tuple[slice, ...]) -> dict[str, Any]:
        """What the page's script reads."""
        entry = {"name": self.name, "caption": self.caption, "map": "diverging" if self.ends else "grey"}
        entry["base64"] = base64.b64encode(np.ascontiguousarray(self.values[thin]).tobytes()).decode("ascii")
        return entry | dict(zip(("low", "high"), self.ends or (), strict=False))


def _data(pictures: Pictures) -> dict[str, Any]:
    """The volumes as bytes, with captions."""
    skip = 1
    while pictures.content[::skip, ::skip, ::skip].size > _MOST_VOXELS:
        skip += 1
    thin = (slice(None, None, skip),) * 3
    taken = "Output - input: what was taken away (blue) and added (red)"
    layers = [
        _Layer("input", "Input", _grey(pictures.content, pictures.mask)),
        _Layer("output", "Output (synthetic)", _grey(pictures.output, pictures.mask)),
        _signed("change", taken, pictures.output - pictures.content, pictures),
    ]
    if pictures.residual is not None:
        values, misfit = pictures.residual
        layers.append(_signed("residual", f"{_RESIDUAL}; |A x - y| is {misfit:.2g} times |y|", values, pictures))
    used = "Style: the slices of another person that were used"
    layers.append(_Layer("style", used, _grey(pictures.style, None)))
    if pictures.reference is not None:
        error = scaled(pictures.output, pictures.mask) - scaled(pictures.reference, pictures.mask)
        told = "Output - reference, each scaled by its percentiles"
        layers += [
            _Layer("reference", "Reference: used for this page only", _grey(pictures.reference, pictures.mask)),
            _Layer("error", told, _diverging(error * pictures.mask, 0.5), ("-0.5", "0.5")),
        ]
    return {
        "shape": list(pictures.content[thin].shape),
        "mm": [skip * size for size in pictures.mm],
        "plane": pictures.plane,
        "volumes": [layer.entry(thin) for layer in layers],
    }


def _signed(name: str, caption: str, values: Volume3, pictures: Pictures) -> _Layer:
    """A picture of differences, up to their 99 percentile in the head."""
    most = float(np.percentile(np.abs(values[pictures.mask]), 99)) or 1.0
    times = f" ({most / pictures.sigma:.2g} times the noise)" if pictures.sigma > 0 else ""
    return _Layer(name, caption, _diverging(values, most), (f"-{most:.3g}", f"{most:.3g}{times}"))


def _grey(volume: Volume3, mask: Bool[np.ndarray, "..."] | None) -> np.ndarray:
    """0 to 255 from the median in air, where there is a mask, to the 99.8 percentile."""
    inside = volume[mask] if mask is not None else volume[volume > 0]
    high = float(np.percentile(inside, 99.8)) if inside.size else 1.0
    air = volume[~mask] if mask is not None else np.zeros(0)
    low = float(np.median(air)) if air.size else 0.0
    return np.round(255 * np.clip((volume - low) / max(high - low, 1e-12), 0, 1)).astype(np.uint8)


def _diverging(volume: Volume3, most: float) -> np.ndarray:
    """0 to 255 from -most to most."""
    return np.round(127.5 * (1 + np.clip(volume / most, -1, 1))).astype(np.uint8)


def _histogram(pictures: Pictures) -> str:
    """The distributions of intensities in the head, each from its 0 to its 99.8 percentile."""
    curves = {}
    volumes = {"input": pictures.content, "output": pictures.output, "style": pictures.style}
    for name, volume in volumes.items():
        inside = volume[volume > 0] if name == "style" else volume[pictures.mask]
        if inside.size and (high := float(np.percentile(inside, 99.8))) > 0:
            counts, edges = np.histogram(inside / high, bins=64, range=(0, 1))
            curves[name] = list(zip((edges[:-1] + edges[1:]) / 2, counts / max(counts.max(), 1), strict=True))
    return _plot(curves, "intensity, relative to the 99.8 percentile", "share of pixels, relative to the most")


def _traces(traces: Mapping[str, np.ndarray]) -> str:
    """Score, loss and error: of one outer iteration a table, of more a plot each with a curve per slice."""
    found = {name: np.atleast_2d(np.asarray(values, float)) for name, values in traces.items()}
    found = {name: values for name, values in found.items() if np.isfinite(values).any()}
    if not found:
        return ""
    heading = "<h2>Course of the solver</h2>"
    if all(values.shape[1] == 1 for values in found.values()):
        count = len(next(iter(found.values())))
        rows = [{"image": n} | {name: float(values[n, 0]) for name, values in found.items()} for n in range(count)]
        return f"{heading}<p>One outer iteration was taken.</p>{_table(rows)}"
    plots = []
    for name, values in found.items():
        curves = {
            f"image {n}": [(float(k), float(v)) for k, v in enumerate(row, 1) if np.isfinite(v)]
            for n, row in enumerate(values)
        }
        plots.append(f"<h3>{html.escape(name)}</h3>" + _plot(curves, "outer iteration", name))
    return heading + "".join(plots)


def _plot(curves: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> str:
    """Curves as an SVG in the text's colour, described for those who cannot see it."""
    if not any(curves.values()):
        return ""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3), layout="constrained")
    ax = figure.subplots()
    for name, curve in curves.items():
        ax.plot(*zip(*curve, strict=True), label=name)
    ax.set(xlabel=x, ylabel=y)
    if len(curves) <= 10:
        ax.legend()
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "rnst", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    label = html.escape(f"{y} against {x}: {', '.join(curves)}")
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _table(rows: Sequence[Mapping[str, float]]) -> str:
    """Rows with the names of the first as heading."""
    names = list(rows[0])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td class="number">{_number(row[name])}</td>' for name in names) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))


def _nested(record: Any) -> str:
    """Nested dicts as nested tables."""
    if isinstance(record, Mapping):
        lines = (f"<tr><th>{html.escape(str(key))}</th><td>{_nested(value)}</td></tr>" for key, value in record.items())
        return f"<table>{''.join(lines)}</table>"
    if isinstance(record, list | tuple) and any(isinstance(item, Mapping) for item in record):
        return "".join(map(_nested, record))
    if isinstance(record, list | tuple):
        return html.escape(", ".join(map(str, record)))
    return f"<code>{_number(record)}</code>"
