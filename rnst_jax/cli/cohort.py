"""``rnst reconstruct`` of many scans: a folder of NIfTI files, or a BIDS dataset."""

import argparse
import os
import pathlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rnst_jax.cli import options
from rnst_jax.io import bids, volumes
from rnst_jax.io.errors import RefusedInput, UsageError
from rnst_jax.io.nifti import SUFFIXES, stem

_FOR_ONE = ("trace", "dicom_out", "kspace", "kspace_key", "kspace_axes", "kspace_transform", "geometry")
"""Options that are for one scan."""


class Job(NamedTuple):
    """One scan of a cohort: where it lies, where its result goes, its mask and its BIDS URI if there are."""

    content: pathlib.Path
    out: pathlib.Path
    mask: pathlib.Path | None = None
    uri: str | None = None


def is_cohort(folder: pathlib.Path) -> bool:
    """Whether a folder is a BIDS dataset or holds NIfTI files."""
    return bids.is_dataset(folder) or bool(_scans(folder))


def run(args: argparse.Namespace, one: Callable[[argparse.Namespace], tuple[int, dict[str, Any]]]) -> int:
    """Reconstruct every scan of a folder; a bad one does not stop the others.

    Programs that were compiled for one scan serve the next ones of the same sizes.

    Args:
        args: of ``rnst reconstruct``, with folders as content and output, and as mask if there is one.
        one: reconstructs one scan: arguments to exit code and record.

    Returns:
        0, or 4 where a scan, or slices of one, failed.

    Raises:
        UsageError: an option that is for one scan, or a place for an output that cannot be used; nothing was done.
        RefusedInput: the folder holds no scan.
    """
    for name in _FOR_ONE:
        if getattr(args, name):
            raise UsageError(f"{args.content}: --{name.replace('_', '-')} is for one scan; leave it out for a folder")
    is_bids = bids.is_dataset(args.content)
    jobs = list(_dataset(args) if is_bids else _folder(args))
    names = [stem(job.out) for job in jobs]
    if clash := _twice(names):
        raise UsageError(f"{clash}: two scans would have this output; rename one")
    volumes.read(args.style)  # a style that cannot be used fails all of them
    _check_reports(args, is_bids)
    index = args.report / "index.html" if args.report else None
    if index and "index" in names:
        raise UsageError(f"{index}: is the page of all scans, and the scan 'index' would have it too; rename the scan")
    places = [job.out for job in jobs] + ([index] if index else [])
    for path in places:
        if os.path.lexists(path) and not options.may_replace(args):
            raise UsageError(f"{path}: exists; choose another folder or give --force to replace it")
    if not args.dry_run:
        for folder in dict.fromkeys([args.out, *(job.out.parent for job in jobs)]):
            _make(folder)
        if args.report:
            _make(args.report)
        if is_bids:
            bids.describe_derivative(args.out, args.content, args.force)
    done: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    rows = []
    for number, job in enumerate(jobs, 1):
        name = job.content.name
        options.say(args, f"{number} of {len(jobs)}: {name}")
        try:
            code, record = one(argparse.Namespace(**vars(args) | _own(args, job)))
            done.append(record)
            if code:
                failed[name] = "some slices became non-finite; see its sidecar"
            rows.append(_row(name, job, record, failed.get(name, "")))
        except Exception as error:  # whatever is wrong with one scan, the others are to be reconstructed
            if args.verbose:
                traceback.print_exc()
            failed[name] = " ".join(str(error).split()) or type(error).__name__
            options.say(args, f"failed: {failed[name]}")
            rows.append({"scan": name, "status": "failed", "remark": failed[name]})
    if index and not args.dry_run:
        from rnst_jax.report import index as page

        page.write(index, f"{args.content.name}: {len(done)} scans", rows, options.may_replace(args))
    if args.json:
        options.print_json({"Results": done, "Failed": failed})
    else:
        print(f"{len(done)} of {len(jobs)} scans {'checked' if args.dry_run else 'reconstructed'}")
        for name, reason in failed.items():
            print(f"  {name}: {reason}")
    return 4 if failed else 0


def _check_reports(args: argparse.Namespace, is_bids: bool) -> None:
    """Refuse places of reports and references that are none for a folder of scans."""
    if args.reference and not args.report:
        raise UsageError(f"{args.reference}: --reference is for the reports; give --report FOLDER")
    if args.reference and (is_bids or not args.reference.is_dir()):
        raise UsageError(f"{args.reference}: --reference is a folder of scans named like those of a folder")
    if args.report and args.report.suffix.lower() in (".html", ".htm"):
        raise UsageError(f"{args.report}: the reports of several scans go into a folder; give its name")


def _own(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The options that are a scan's own."""
    return {
        "content": job.content,
        "out": job.out,
        "mask": job.mask,
        "uri": job.uri,
        "report": args.report / f"{stem(job.out)}.html" if args.report else None,
        "reference": args.reference / job.content.name if args.reference else None,
        "cohort": True,
    }


def _row(name: str, job: Job, record: dict[str, Any], remark: str) -> dict[str, Any]:
    """A scan's row in the index of reports."""
    slices = record.get("Slices", [])
    scores = [entry["Score"] for entry in slices if isinstance(entry, dict) and entry.get("Score") is not None]
    row = {
        "scan": name,
        "status": "partly" if remark else "done",
        "slices": len(slices),
        "style loss": sum(scores) / len(scores) if scores else None,
        "seconds": record.get("RunSeconds"),
    }
    remarks = [*([remark] if remark else []), *record.get("Warnings", ())]
    return row | record.get("Scores", {}) | {"remark": "; ".join(remarks), "report": f"{stem(job.out)}.html"}


def _folder(args: argparse.Namespace) -> Iterator[Job]:
    """The scans that lie in a folder, not in folders of it."""
    if args.out.exists() and args.out.samefile(args.content):
        raise UsageError(f"{args.out}: is the folder of the scans; give another one for the results")
    scans = _scans(args.content)
    if not scans:
        raise RefusedInput(f"{args.content}: no .nii or .nii.gz and no DICOM file in this folder; check the path")
    if args.mask and not args.mask.is_dir():
        raise UsageError(f"{args.mask}: is no folder; give a folder of masks that are named like the scans")
    for scan in scans:
        yield Job(scan, args.out / scan.name, args.mask / scan.name if args.mask else None)


def _scans(folder: pathlib.Path) -> list[pathlib.Path]:
    """The NIfTI files that lie in a folder, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES) and path.name[0] != ".")


def _dataset(args: argparse.Namespace) -> Iterator[Job]:
    """The anatomical scans of a BIDS dataset, at the same places in the derivative."""
    if args.mask:
        raise UsageError(f"{args.mask}: --mask is for a scan or a folder; leave it out for a BIDS dataset")
    scans = bids.anatomical(args.content)
    suffixes = sorted({bids.suffix(scan) for scan in scans})
    if args.suffix:
        scans = [scan for scan in scans if bids.suffix(scan) == args.suffix]
    elif len(suffixes) > 1:
        raise UsageError(f"{args.content}: holds {', '.join(suffixes)}, and a style has one contrast; choose --suffix")
    if not scans:
        held = f"it holds {', '.join(suffixes)}" if suffixes else "check the path"
        raise RefusedInput(f"{args.content}: no {args.suffix or 'anatomical'} scan in this dataset; {held}")
    for scan in scans:
        place = scan.relative_to(args.content)
        yield Job(scan, args.out / bids.derived(place), uri=bids.uri(place))


def _twice(names: list[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _make(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made into a folder ({error.strerror}); choose another place") from error
