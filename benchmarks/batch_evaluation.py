"""One evaluation of the loss and its gradient for a batch of slices: PyTorch against ours in the same precision.

    python benchmarks/batch_evaluation.py [--batch 16] [--size 256] [--output benchmarks/results/batch_evaluation.json]

PyTorch runs the published loss (`torch_reference`) over the batch with ``channels_last`` and ``torch.compile``, three
channels, no gradient of the weights; both libraries on a GPU where both have one, in float32 (TF32 allowed, as JAX does
by default) and in bfloat16. Ten evaluations are started one after the other, then waited for, so that the time to start
one does not count. Ours are timed in three forms: the same images, the box of the heads, and that box at half
of the resolution, which is what the presets evaluate. They take turns, medians of several runs. Generated heads; no
data are needed.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch_reference as published

from rnst_jax.bench import cases, record
from rnst_jax.features import weights
from rnst_jax.mask import bounding_box, head_mask
from rnst_jax.style import StyleLoss

KEYS = ("batch", "size", "precision", "platform", "device")
FORMS = ("published", "ours", "ours, box of the head", "ours, as the presets")
TORCH = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def theirs(
    images: np.ndarray, style: np.ndarray, precision: str, evaluations: int, device: str, compiled: bool
) -> Callable[[], Any]:
    """The published loss of every image, and the sums of its gradients."""
    vgg = published.load_vgg16(weights.verify("vgg16"), TORCH[precision], device)
    vgg = {name: (w.contiguous(memory_format=torch.channels_last), b) for name, (w, b) in vgg.items()}

    def colour(image: np.ndarray) -> torch.Tensor:
        planes = torch.tensor(image, dtype=TORCH[precision], device=device)[:, None].expand(-1, 3, -1, -1)
        return planes.contiguous(memory_format=torch.channels_last)

    def grams(found: published.Taps) -> published.Taps:
        return {tap: published.gram(found[tap]) for tap in published.STYLE_TAPS}

    with torch.no_grad():
        targets = grams(published.batch_taps(vgg, colour(style[None])))
        content = published.batch_taps(vgg, colour(images))
        content = {tap: content[tap].clone() for tap in published.CONTENT_TAPS}

    def loss(x: torch.Tensor) -> torch.Tensor:
        found = published.batch_taps(vgg, x)
        apart = {tap: (g - targets[tap]).abs().float().mean((1, 2)) for tap, g in grams(found).items()}
        kept = {tap: (found[tap] - content[tap]).abs().float().mean((1, 2, 3)) for tap in content}
        return 5000 * sum(apart.values()) + sum(kept.values())

    if compiled:
        loss = torch.compile(loss)
    x = (0.9 * colour(images)).requires_grad_(True)

    def evaluate() -> np.ndarray:
        for _ in range(evaluations):
            losses = loss(x)
            (gradient,) = torch.autograd.grad(losses.sum(), x)
        return np.asarray([losses.detach().cpu().numpy(), gradient.float().sum((1, 2, 3)).cpu().numpy()])

    return evaluate


def ours(images: np.ndarray, style: np.ndarray, precision: str, evaluations: int) -> Callable[[], Any]:
    """The same loss of one grey channel."""
    network, _ = cases.extractor("vgg16", precision)
    loss, x, s = StyleLoss(), jnp.asarray(images), jnp.asarray(style)
    targets = jax.jit(lambda net, x, s: jax.vmap(lambda y: loss.targets(net, y, s))(x))(network, x, s)
    run = jax.vmap(jax.value_and_grad(lambda x, t, net: loss(net, x, t)), in_axes=(0, 0, None))
    arguments = (0.9 * x, targets, network)
    compiled = jax.jit(run).lower(*arguments).compile()

    def evaluate() -> np.ndarray:
        for _ in range(evaluations):
            losses, gradient = compiled(*arguments)
        return np.asarray([losses, gradient.sum((1, 2))])

    return evaluate


def half(images: np.ndarray) -> np.ndarray:
    shape = (*images.shape[:-2], images.shape[-2] // 2, images.shape[-1] // 2)
    return np.asarray(jax.image.resize(jnp.asarray(images), shape, "linear"))


def measure(
    batch: int, size: int, precision: str, evaluations: int, device: str, compiled: bool, repeats: int
) -> dict[str, Any]:
    """A row: seconds of each form for the whole batch, and how far the losses of both libraries are apart."""
    images, style = cases.heads(batch, size)
    rows, columns = bounding_box(np.stack([head_mask(image) for image in images]))
    cut, cut_style = images[:, rows, columns], style[rows, columns]
    runs = {
        "published": theirs(images, style, precision, evaluations, device, compiled),
        "ours": ours(images, style, precision, evaluations),
        "ours, box of the head": ours(cut, cut_style, precision, evaluations),
        "ours, as the presets": ours(half(cut), half(cut_style), precision, evaluations),
    }
    found = {name: runs[name]() for name in ("published", "ours")}
    spent = record.interleaved(runs, repeats)
    return {
        "batch": batch,
        "size": size,
        "box": list(cut.shape[1:]),
        "precision": precision,
        "torch_compile": compiled,
        "weights": "vgg16 (ImageNet)",
        "evaluations": evaluations,
        "seconds": {name: round(value / evaluations, 6) for name, value in spent.items()},
        "loss_difference": float(np.abs(found["ours"][0] / found["published"][0] - 1).max()),
        "gradient_difference": float(np.abs(found["ours"][1] / found["published"][1] - 1).max()),
        **record.taken_on(record.environment() | {"torch": torch.__version__}),
    }


def line(row: dict[str, Any]) -> list[Any]:
    published = row["seconds"]["published"]
    cells = [f"{1e3 * s:.1f} ms, {published / s:.2f} x" for s in (row["seconds"][form] for form in FORMS)]
    return [row["batch"], row["size"], row["precision"], *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description="One evaluation of a batch: PyTorch against ours")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--precision", nargs="+", choices=sorted(TORCH), default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="PyTorch's")
    parser.add_argument("--eager", action="store_true", help="PyTorch without torch.compile")
    parser.add_argument("--evaluations", type=int, default=10, help="started in a row")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "batch_evaluation.json")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    rows = []
    for precision in args.precision:
        settings = (args.batch, args.size, precision, args.evaluations)
        rows.append(measure(*settings, args.device, not args.eager, args.repeats))
        record.append(args.output, rows[-1], KEYS)
    print(record.table(("batch", "size", "precision", *FORMS), [line(row) for row in rows]))


if __name__ == "__main__":
    main()
