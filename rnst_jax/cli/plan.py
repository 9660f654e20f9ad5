"""What ``rnst reconstruct`` is going to do, said before it does it."""

import argparse
from typing import Any

from rnst_jax.cli import kspace, solving
from rnst_jax.io.prepare import Case


def made(args: argparse.Namespace, case: Case, config: Any, chunk: int, device: str) -> dict[str, Any]:
    """What will be done, in a line and as data; ``chunk`` slices at a time, ``device`` in words."""
    from rnst_jax import api, memory

    planned = api.planned_evaluations(config) * len(case.y)
    height, width = case.y.shape[1:]
    plane = case.slices.plane
    shape = solving.shape(case, config)[1:]
    size = memory.per_image(config, *shape) * chunk
    summary = (
        f"{len(case.y)} {plane} slices of {height} x {width}, {planned} evaluations of {args.extractor} on {device}; "
        f"about {size / 2**20:.0f} MiB and {_seconds(config, args.extractor, shape, planned):.0f} s behind compilation"
    )
    return {
        "summary": summary,
        "evaluations": planned,
        "settings": {
            "Preset": args.config.name if args.config else args.preset,
            "Extractor": args.extractor,
            "Plane": plane,
            "Slices": list(case.numbers),
            "StyleSlices": list(case.style_numbers),
            "StyleHasScalp": case.style_has_scalp,
            "ContentIsStripped": case.stripped,
            "PixelMm": list(case.slices.zooms),
            "SliceMm": case.slices.slice_mm,
            "ObliqueDegrees": round(case.slices.oblique, 2),
            "Chunk": chunk,
            "Scaling": {"Low": case.scaling.lo, "High": case.scaling.hi},
        }
        | kspace.settings(args),
    }


def _seconds(config: Any, extractor: str, shape: tuple[int, ...], evaluations: int) -> float:
    """A guess of the run time: the network's work at the speed of a matrix product here, and half as much more.

    The rest is the denoiser, and what the network's small convolutions lose against a matrix product. On 2 CPU cores
    that other work shared ``balanced`` took 45 s where this said 42.
    """
    from rnst_jax.bench import record
    from rnst_jax.features import MODELS

    model = MODELS[extractor]
    last = max((model.taps[tap] for tap in (*config.style_taps, *config.content_taps)), default=0)
    pixels, work = shape[0] * shape[1] / config.reduce**2, 0.0
    for convolution in model.convolutions[:last]:
        outputs, inputs, rows, columns = convolution.shape
        # VGG halves the sides before each block but the first, ResNet before each stage and once more before layer1
        stage = int(next(c for c in convolution.layer if c.isdecimal())) - 1
        halvings = stage if model.family == "vgg" else stage + (2 if convolution.layer.startswith("layer") else 1)
        work += 2 * outputs * inputs * rows * columns * pixels / 4**halvings
    # forwards, and back to the image
    return 1.5 * 2 * work * evaluations / record.matrix_peak(n=1024, runs=3)


def report(args: argparse.Namespace, plan: dict[str, Any]) -> dict[str, Any]:
    """Print the plan of a dry run, if not as JSON, and return it as data."""
    if not args.json:
        print(f"would reconstruct {plan['summary']}, and write {args.out}")
        for name, value in plan["settings"].items():
            print(f"  {name}: {value}")
    return {"DryRun": True, "PlannedEvaluations": plan["evaluations"]} | plan["settings"]
