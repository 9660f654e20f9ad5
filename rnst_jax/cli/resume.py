"""``rnst reconstruct --resume``: what an earlier run has left is gone on with, never mixed with anything else."""

import argparse
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from rnst_jax.io.checkpoint import Checkpoint, differences
from rnst_jax.io.errors import RefusedInput, UsageError


def check(args: argparse.Namespace) -> None:
    """Refuse what contradicts --resume."""
    if args.resume and args.force:
        raise UsageError(f"{args.out}: --resume goes on with what is there and --force drops it; give one of them")


def finished(
    args: argparse.Namespace, sidecar: pathlib.Path, identity: Mapping[str, Any], kept: Checkpoint
) -> dict[str, Any] | None:
    """The sidecar of an output that is there already, or None where it is still to be made.

    The sidecar is written last: an image without one is what an interrupted run has left.

    Raises:
        RefusedInput: the output was made from something else.
        UsageError: an image is there that no run of ours has left, or a further output is asked for.
    """
    if not os.path.lexists(sidecar):
        if os.path.lexists(args.out) and not kept.folder.is_dir():
            raise UsageError(f"{args.out}: exists, and no run has left slices beside it; choose another name")
        return None
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedInput(f"{sidecar}: cannot be read as JSON ({error}); give --force to start anew") from error
    changed = differences(record, json.loads(json.dumps(identity)))
    if changed or not args.out.is_file():
        what = f"made with other {', '.join(changed)}" if changed else "there without its image"
        raise RefusedInput(f"{sidecar}: {what}; choose another name or give --force instead of --resume to replace it")
    for path in (args.report, args.trace, args.dicom_out):
        if path and not path.exists():
            raise UsageError(f"{path}: {args.out} is finished; give --force instead of --resume to make both")
    kept.remove()
    return record


def code(record: Mapping[str, Any]) -> int:
    """The exit code of a finished reconstruction: 0, or 4 where slices failed."""
    return 4 if any(entry["Status"] == "nonfinite" for entry in record["Slices"]) else 0
