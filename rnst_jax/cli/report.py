"""``rnst reconstruct --report``: the HTML page, and the scores where there is a reference."""

import argparse
import dataclasses
import importlib.util
import pathlib
from typing import Any

import numpy as np

from rnst_jax.cli import evaluate, kspace, options
from rnst_jax.cli.solving import Solved
from rnst_jax.io import nifti, volumes
from rnst_jax.io.atomic import check_output
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.planes import from_slices, to_slices
from rnst_jax.io.prepare import Case
from rnst_jax.io.prepare_kspace import KSpaceCase
from rnst_jax.mask import head_mask


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --report and --reference."""
    group = parser.add_argument_group("report")
    group.add_argument(
        "--report",
        type=pathlib.Path,
        metavar="F.html",
        help="also write a page to look at, one file; for a folder of scans a folder, with an index.html",
    )
    group.add_argument(
        "--reference",
        type=pathlib.Path,
        help="scan on the content's grid that the report compares with, and nothing else sees; for a folder of scans "
        "a folder of the same names",
    )


def check(args: argparse.Namespace, inputs: tuple[pathlib.Path, ...]) -> None:
    """Refuse what can be refused before any work."""
    if args.reference and not args.report:
        raise UsageError(f"{args.reference}: --reference is for the report; give --report F.html, or see rnst evaluate")
    if not args.report:
        return
    if args.report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{args.report}: the report is a page; give a name that ends in .html")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"{args.report}: a report needs matplotlib; pip install 'rnst-jax[report]'")
    if args.reference:
        volumes.check(args.reference)
    check_output(args.report, inputs, options.may_replace(args))


def reference(args: argparse.Namespace, case: Case) -> nifti.Volume | None:
    """The reference at the slices that were asked for, checked before the work; only the report is to see it.

    Raises:
        RefusedInput: it cannot be read or lies on another grid.
    """
    if not args.reference:
        return None
    found = volumes.read(args.reference)
    start, stop = min(case.numbers), max(case.numbers) + 1
    axis = case.slices.axis
    if found.data.shape != case.content.data.shape and found.data.shape[axis] >= stop:
        found = nifti.sub_volume(found, axis, start, stop)
    if not nifti.same_grid(found, case.content):
        raise RefusedInput(
            f"{args.reference}: shape {found.data.shape} or affine differs from the content's "
            f"{case.content.data.shape}; resample it to the content"
        )
    return found


def write(
    args: argparse.Namespace,
    case: Case,
    output: np.ndarray,
    truth: nifti.Volume | None,
    solved: Solved,
    record: dict[str, Any],
    measured: KSpaceCase | None,
) -> dict[str, float]:
    """Write the report of a finished reconstruction, and return the mean scores if there is a reference.

    Args:
        args: of the command.
        case: what was reconstructed.
        output: the written volume, (i, j, k).
        truth: of `reference`.
        solved: its slices.
        record: the sidecar's content.
        measured: the case of k-space, or None.
    """
    from rnst_jax.report import page

    def axial(data: np.ndarray) -> np.ndarray:
        return to_slices(dataclasses.replace(case.content, data=data), "axial").stack

    def around(batch: np.ndarray) -> np.ndarray:
        whole = np.zeros(case.stack.shape, np.float32)
        whole[case.heads] = batch
        return axial(from_slices(whole, case.slices))

    rows, mean = scores(case, output, truth)
    grid = to_slices(case.content, "axial")
    residual = None
    if measured:
        shaded = solved.images if solved.found.field is None else solved.images * solved.found.field
        found, misfit = kspace.residual(measured, shaded)
        residual = around(found * case.scaling.hi), misfit
    pictures = page.Pictures(
        content=grid.stack,
        output=axial(output),
        style=around(case.style * case.style_mask),
        mask=around(case.mask) > 0,
        mm=(grid.slice_mm, *grid.zooms),
        plane=case.slices.plane,
        sigma=float(case.noise.mean()),
        reference=None if truth is None else axial(truth.data),
        residual=residual,
    )
    traces = {name: np.asarray(values) for name, values in solved.result.trace.items()}
    title = f"{args.out.name}, made from {volumes.label(args.content)}"
    rows = [*rows, {"slice": "mean"} | mean] if rows else []
    page.write(args.report, title, pictures, record, traces, rows, options.may_replace(args))
    return mean


def scores(
    case: Case, output: np.ndarray, truth: nifti.Volume | None
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Of `rnst_jax.cli.evaluate.scores`, per slice and their mean; nothing without a reference."""
    if truth is None:
        return [], {}
    truths, images = (
        to_slices(dataclasses.replace(case.content, data=data), case.slices.plane).stack
        for data in (truth.data, output)
    )
    masks = np.stack([head_mask(image) for image in truths])
    return evaluate.scores(truths, images, masks, list(case.numbers))
