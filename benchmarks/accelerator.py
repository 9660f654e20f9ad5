"""A whole reconstruction of real slices on this device against the CPU's, in float32 and bfloat16.

    python benchmarks/accelerator.py [--size 256] [--output benchmarks/results/accelerator.json]

Slice 1 of the six 0.055 T scans in one batch, preset `balanced`. For each precision of the network on the default
device: compile and run time, RMS difference and SSIM with the CPU's float32 images, the published loss of the images
(judged in float32 on the CPU) as a ratio to theirs, and the mean scores. Without an accelerator the CPU stands against
itself.
"""

import argparse
import json
import pathlib
import time
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np
from precision import judged

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.bench import cases, record
from rnst_jax.metrics import ssim

KEYS = ("what", "size", "platform", "device")


def images(pairs: list[common.Pair], device: Any, precision: str) -> tuple[np.ndarray, float, float]:
    """The reconstructions on a device, and seconds of compiling and running."""
    names = ("y", "style", "mask", "style_mask")
    stacked = {name: np.stack([getattr(pair, name) for pair in pairs]) for name in names}
    with jax.default_device(device):
        network, _ = cases.extractor("vgg16", precision)
        start = time.perf_counter()
        run = api.compile(**stacked, extractor=network)
        compiled = time.perf_counter() - start
        image = np.asarray(run().image)
        return image, compiled, record.seconds(run)


def main() -> None:
    parser = argparse.ArgumentParser(description="A whole reconstruction against the CPU's")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "accelerator.json")
    args = parser.parse_args()
    device, cpu = jax.devices()[0], jax.devices("cpu")[0]
    six = [(subject, contrast) for subject in sorted(common.STYLES) for contrast in ("T1w", "T2w")]
    with jax.default_device(cpu):
        pairs = [common.load_pair(subject, contrast, 1, args.size, args.data) for subject, contrast in six]
        network = rnst.features.load("vgg16")

    def losses(found: np.ndarray) -> np.ndarray:
        with jax.default_device(cpu):
            arguments = ((jnp.asarray(a) for a in (i, p.y, p.style)) for i, p in zip(found, pairs, strict=True))
            return np.array([float(judged(network, *three)) for three in arguments])

    expected, *seconds = images(pairs, cpu, "float32")
    known = losses(expected)
    runs = {"float32, CPU": (expected, *seconds)}
    for precision in ("float32", "bfloat16"):
        runs[precision] = images(pairs, device, precision)
    for what, (found, compiled, spent) in runs.items():
        record.check_finite(f"images of {what}", found)
        with jax.default_device(cpu):
            likeness = [float(ssim(jnp.asarray(a), jnp.asarray(b))) for a, b in zip(expected, found, strict=True)]
        scores = [pair.scores(image) for pair, image in zip(pairs, found, strict=True)]
        ratios = losses(found) / known
        row = {
            "what": what,
            "size": args.size,
            "images": len(pairs),
            "weights": "vgg16 (ImageNet)",
            "compile_seconds": round(compiled, 2),
            "run_seconds": round(spent, 4),
            "rms_difference": float(f"{np.sqrt(np.mean(np.square(found - expected))):.3g}"),
            "ssim_least": round(min(likeness), 5),
            "loss_ratios": [round(float(ratio), 5) for ratio in ratios],
            "scores": {metric: round(float(np.mean([s[metric] for s in scores])), 4) for metric in common.METRICS},
        }
        record.append(args.output, row | record.taken_on(record.environment()), KEYS)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
