"""The network in bfloat16 against float32 on real slices: where the loss ends, and how far apart the images are.

    python benchmarks/precision.py [--size 256] [--evaluations 300] [--output benchmarks/results/precision.json]

Slice 1 of the six 0.055 T scans. For the preset, and for the engine with free pixels on the published loss: the loss of
the last image under float32 features, whichever precision the run had, as a ratio, and the SSIM between both images.
For the engine, as a scale, also of a float32 run whose start is 1e-6 brighter: free pixels are chaotic.
"""

import argparse
import pathlib
from typing import Any

import common
import jax
import jax.numpy as jnp

import rnst_jax as rnst
from rnst_jax.bench import record
from rnst_jax.metrics import ssim
from rnst_jax.priors import Style
from rnst_jax.style import StyleLoss

KEYS = ("subject", "contrast", "size", "what", "platform", "device")
HEAD = ("subject", "contrast", "what", "loss / float32's", "SSIM with float32's")


@jax.jit
def free_pixels(extractor: Any, y: jax.Array, style: jax.Array, prior: Style) -> jax.Array:
    """The published loss, descended with free pixels."""
    return prior.stylise(y, prior.loss.targets(extractor, y, style), prior.evaluations)[0]


@jax.jit
def judged(extractor: Any, image: jax.Array, y: jax.Array, style: jax.Array) -> jax.Array:
    """The published loss."""
    return StyleLoss()(extractor, image, StyleLoss().targets(extractor, y, style))


def measure(subject: str, contrast: str, size: int, evaluations: int, data: pathlib.Path) -> list[dict[str, Any]]:
    pair = common.load_pair(subject, contrast, 1, size, data)
    y, style = jnp.asarray(pair.y), jnp.asarray(pair.style)
    networks = [rnst.features.load("vgg16", dtype=dtype) for dtype in (None, jnp.bfloat16)]
    masks = {"mask": pair.mask[None], "style_mask": pair.style_mask[None]}

    def preset(net: Any) -> jax.Array:
        return rnst.reconstruct(y[None], style[None], extractor=net, **masks).image[0]

    def engine(net: Any, offset: float = 0.0) -> jax.Array:
        return free_pixels(net, y + offset, style, Style(net, evaluations=evaluations))

    pixels = engine(networks[0])
    pairs = {
        "balanced": (preset(networks[0]), preset(networks[1])),
        f"free pixels, {evaluations}": (pixels, engine(networks[1])),
        f"free pixels, {evaluations}, float32, start + 1e-6": (pixels, engine(networks[0], 1e-6)),
    }
    rows = []
    for what, (full, half) in pairs.items():
        losses = [float(judged(networks[0], image, y, style)) for image in (full, half)]
        row = {"subject": subject, "contrast": contrast, "size": size, "what": what, "weights": "vgg16 (ImageNet)"}
        row |= {"loss": losses, "loss_ratio": round(losses[1] / losses[0], 5)}
        row |= {"ssim": round(float(ssim(full, half)), 5)}
        rows.append(row | record.taken_on(record.environment()))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="bfloat16 against float32")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--subjects", nargs="+", choices=sorted(common.STYLES), default=sorted(common.STYLES))
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "precision.json")
    args = parser.parse_args()
    lines = []
    for subject in args.subjects:
        for contrast in ("T1w", "T2w"):
            for row in measure(subject, contrast, args.size, args.evaluations, args.data):
                record.append(args.output, row, KEYS)
                lines.append([*(row[key] for key in ("subject", "contrast", "what", "loss_ratio", "ssim"))])
    print(record.table(HEAD, lines))


if __name__ == "__main__":
    main()
