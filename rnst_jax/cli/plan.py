"""What ``rnst reconstruct`` is going to do, said before it does it."""

import argparse
from typing import Any

from rnst_jax.io.prepare import Case


def made(args: argparse.Namespace, case: Case, config: Any, chunk: int, device: str) -> dict[str, Any]:
    """What will be done, in a line and as data; ``chunk`` slices at a time, ``device`` in words."""
    from rnst_jax import api

    planned = api.planned_evaluations(config) * len(case.y)
    height, width = case.y.shape[1:]
    plane = case.slices.plane
    return {
        "summary": f"{len(case.y)} {plane} slices of {height} x {width}, at most {planned} evaluations on {device}",
        "evaluations": planned,
        "settings": {
            "Preset": args.config.name if args.config else args.preset,
            "Extractor": args.extractor,
            "Plane": plane,
            "Slices": list(case.numbers),
            "StyleSlices": list(case.style_numbers),
            "PixelMm": list(case.slices.zooms),
            "SliceMm": case.slices.slice_mm,
            "ObliqueDegrees": round(case.slices.oblique, 2),
            "Chunk": chunk,
            "Scaling": {"Low": case.scaling.lo, "High": case.scaling.hi},
        },
    }


def report(args: argparse.Namespace, plan: dict[str, Any]) -> dict[str, Any]:
    """Print the plan of a dry run, if not as JSON, and return it as data."""
    if not args.json:
        print(f"would reconstruct {plan['summary']}, and write {args.out}")
        for name, value in plan["settings"].items():
            print(f"  {name}: {value}")
    return {"DryRun": True, "PlannedEvaluations": plan["evaluations"]} | plan["settings"]
