"""The published RNST algorithm as its authors' program executes it (mode "upstream"), in PyTorch.

Written from a description of that program's behaviour, none of its text. It is the oracle for the golden files in
``tests/golden`` and the baseline in speed benchmarks, so it imports nothing from ``rnst_jax``.

Images inside are tensors (3, height, width) in [0, 1]; `reconstruct` takes and returns grey NumPy images.

Three choices that the description leaves open:

- min-max rescaling uses one minimum and one maximum for the three channels together;
- the winner of an outer iteration is the image *after* its scoring evaluations, because the engine works in place on
  the rescaled candidate (`outer_iteration` returns the untouched candidate as well);
- the scoring run is one L-BFGS call of 20 evaluations.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

# torchvision's index of each convolution; a 2x2 max pooling precedes the first convolution of blocks 2, 3 and 4
INDICES = (0, 2, 5, 7, 10, 12, 14, 17)
STYLE_TAPS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1")
CONTENT_TAPS = ("conv2_2",)
POOLED = ("conv2_1", "conv3_1", "conv4_1")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEPTHS, UPDATE_SIZES = (500, 600, 700), (1, 2, 3, 4, 5)

Taps = dict[str, torch.Tensor]
Vgg16 = dict[str, tuple[torch.Tensor, torch.Tensor]]


def load_vgg16(path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Vgg16:
    """Weight (out, in, 3, 3) and bias of every convolution to conv4_1, from a file with torchvision's names."""
    tensors = {name: value.to(device, dtype) for name, value in load_file(path).items()}
    pairs = [(tensors[f"features.{k}.weight"], tensors[f"features.{k}.bias"]) for k in INDICES]
    return dict(zip(STYLE_TAPS, pairs, strict=True))


def batch_taps(vgg: Vgg16, images: torch.Tensor, last: str = "conv4_1", relu: bool = False) -> Taps:
    """Features (batch, channels, height, width) of images (batch, 3, height, width) up to ``last``.

    ``conv*`` taps are the values before the ReLU. The ReLU is out of place: torchvision's own is in place, and a tap
    kept by reference would then change after it was taken. With ``relu`` the values after it are returned as well.
    """
    mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = images.new_tensor(IMAGENET_STD)[:, None, None]
    # normalised first: the zeros that the convolutions pad with then mean "the average colour", not black
    x = (images - mean) / std
    out = {}
    for name, (weight, bias) in vgg.items():
        if name in POOLED:
            x = F.max_pool2d(x, 2)
        x = F.conv2d(x, weight, bias, padding=1)
        out[name] = x
        x = F.relu(x)
        if relu:
            out[name.replace("conv", "relu")] = x
        if name == last:
            break
    return out


def taps(vgg: Vgg16, image: torch.Tensor, last: str = "conv4_1", relu: bool = False) -> Taps:
    """`batch_taps` of one image (3, height, width): features (channels, height, width)."""
    return {name: features[0] for name, features in batch_taps(vgg, image[None], last, relu).items()}


def gram(features: torch.Tensor) -> torch.Tensor:
    """F F^T / (C H W) for features (..., C, H, W), F of shape (C, H W)."""
    flat = features.flatten(-2)
    return flat @ flat.mT / features.shape[-3:].numel()


def style_targets(vgg: Vgg16, style: torch.Tensor) -> Taps:
    """Gram matrices of a style image (3, height, width) of any size, one per style tap."""
    with torch.no_grad():
        return {name: gram(features) for name, features in taps(vgg, style).items()}


def content_targets(vgg: Vgg16, content: torch.Tensor) -> Taps:
    """Features of the content image (3, height, width) at the content tap."""
    with torch.no_grad():
        found = taps(vgg, content, last=CONTENT_TAPS[-1])
        return {name: found[name] for name in CONTENT_TAPS}


@dataclasses.dataclass(frozen=True)
class Objective:
    """5000 x the sum over style taps of mean |Gram - target|, plus the mean |features - target| at the content tap."""

    vgg: Vgg16
    content_features: Taps
    style_grams: Taps
    style_weight: float = 5000.0
    content_weight: float = 1.0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """The total loss of an image (3, height, width)."""
        found = taps(self.vgg, image)
        style = sum(F.l1_loss(gram(found[name]), target) for name, target in self.style_grams.items())
        content = sum(F.l1_loss(found[name], target) for name, target in self.content_features.items())
        return self.style_weight * style + self.content_weight * content


def engine(
    x0: torch.Tensor, objective: Objective, steps: int, *, lr: float = 0.4, history: int = 100, lump: int = 20
) -> tuple[torch.Tensor, list[float]]:
    """Stylise ``x0`` with a fresh L-BFGS optimizer; return the image, clamped, and the loss of every evaluation.

    ``losses[k]`` is the total loss at the clamped image of evaluation k; ``losses[0]`` belongs to the clamped ``x0``.
    ``steps`` counts evaluations, and lumps of ``lump`` are taken *while* evaluations <= steps: 500 gives 520, 0 gives
    20 (fewer in a lump that meets one of L-BFGS's own stopping rules).

    PyTorch ends a lump with a move that it does not evaluate. The next lump begins by evaluating it, so lumps are
    seamless: evaluate, move, evaluate, move, with as many moves as evaluations. After the last lump the image is the
    moved one, whose loss is not in ``losses``; it is clamped once more here. The pairs of L-BFGS use the moves as
    planned, before the clamp. ``x0`` itself is not changed.
    """
    image = x0.detach().clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([image], lr=lr, max_iter=lump, history_size=history)
    losses: list[float] = []

    def closure() -> torch.Tensor:
        with torch.no_grad():
            image.clamp_(0, 1)
        optimizer.zero_grad()
        loss = objective(image)
        loss.backward()
        losses.append(loss.item())
        return loss

    while len(losses) <= steps:
        optimizer.step(closure)
    return image.detach().clamp_(0, 1), losses


def minmax(image: torch.Tensor) -> torch.Tensor:
    """Scaled so that the smallest value of all channels is 0 and the largest 1 (a constant image becomes 0)."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else torch.zeros_like(image)


def outer_iteration(
    x: torch.Tensor,
    objective: Objective,
    *,
    depths: Sequence[int] = DEPTHS,
    score_steps: int = 0,
    sizes: Sequence[int] = UPDATE_SIZES,
    mu: float = 0.15,
    lam: float = 0.7,
    denoise: Callable[[np.ndarray], np.ndarray] | None = None,
    on_stylised: Callable[[torch.Tensor, list[float]], None] | None = None,
) -> dict:
    """One outer iteration: a chain of stylised images, candidates made from it, and the choice among them.

    x is min-max rescaled; T_1 is stylised from D(x), T_{j+1} from T_j, each with a fresh optimizer. The candidates are

        x_ij = x - i mu [(x - T_j) + lam (x - T_last)],  i in ``sizes``, j = 1 .. len(depths).

    T_last stands where D(x) should: the engine works in place, so the name of D(x) holds T_last by then.

    A candidate's score is the loss at the *last evaluation* of a fresh engine run of ``score_steps`` (0: one lump, 20
    evaluations) from the min-max rescaled candidate: the value before the run's final move. The lowest wins, the
    first of equals; a score that is not finite never wins.

    Args:
        x: image (3, height, width).
        objective: the loss.
        depths: engine steps of each link of the chain.
        score_steps: engine steps for the score.
        sizes: the values of i.
        mu: step size.
        lam: weight of the denoiser's term.
        denoise: D for one channel, an array (height, width); None is the identity.
        on_stylised: called with T_j and its losses after each link.

    Returns:
        scores: array (len(sizes), len(depths)): row i - 1, column j - 1.
        winner: flat index into ``scores`` in C order (i outer, j inner).
        candidate: the winner before its scoring run, min-max rescaled.
        image: the winner after its scoring run; what the next outer iteration starts from.
        chain: T_1, T_2, ...
        scoring_evaluations: losses evaluated for the scores (``on_stylised`` sees those of the chain).
    """
    x = minmax(x)
    stylised = x
    if denoise is not None:
        stylised = torch.stack([torch.as_tensor(denoise(c.cpu().numpy())) for c in x]).to(x)
    chain, evaluations = [], 0
    for depth in depths:
        stylised, losses = engine(stylised, objective, depth)
        chain.append(stylised)
        if on_stylised is not None:
            on_stylised(stylised, losses)
    scores, candidates, images = [], [], []
    for i in sizes:
        for target in chain:
            candidates.append(minmax(x - i * mu * ((x - target) + lam * (x - chain[-1]))))
            image, losses = engine(candidates[-1], objective, score_steps)
            evaluations += len(losses)
            images.append(image)
            scores.append(losses[-1])
    winner = int(np.argmin(np.where(np.isfinite(scores), scores, np.inf)))
    return {
        "scores": np.reshape(scores, (len(sizes), len(chain))),
        "winner": winner,
        "candidate": candidates[winner],
        "image": images[winner],
        "chain": chain,
        "scoring_evaluations": evaluations,
    }


class Snapshot(NamedTuple):
    """One point of a reconstruction's trajectory.

    Attributes:
        stage: "input", "stylised" (a link of the chain) or "outer" (the winner of an outer iteration).
        evaluations: losses evaluated since the start.
        seconds: time since the start, without the time spent in the callback.
        loss: the last evaluation of the link, or the winner's score; NaN for the input, which was not evaluated.
        image: grey image (height, width), channel 0 in the content's intensity range.
    """

    stage: str
    evaluations: int
    seconds: float
    loss: float
    image: np.ndarray


def bm3d_denoiser(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """BM3D for noise of standard deviation ``sigma`` (images in [0, 1]); needs the package bm3d (non-commercial)."""
    from bm3d import bm3d

    # two calls differ in the last digits (5e-7 measured), which the engine's chaos amplifies: no golden file uses it
    return lambda channel: np.asarray(bm3d(channel, sigma_psd=sigma))


def reconstruct(
    content: np.ndarray,
    style: np.ndarray,
    vgg: Vgg16,
    iterations: int = 20,
    *,
    style_weight: float = 5000.0,
    content_weight: float = 1.0,
    denoise: Callable[[np.ndarray], np.ndarray] | None = None,
    callback: Callable[[Snapshot], None] | None = None,
    **options,
) -> dict:
    """Reconstruct a grey ``content`` image in the look of a grey ``style`` image of any size.

    Both are min-max scaled and copied to three channels. ``denoise`` is used in the first outer iteration only. The
    arithmetic is done in the type and on the device of ``vgg``. No noise is added: do that to ``content`` before.
    ``options`` are those of `outer_iteration`: depths, score_steps, sizes, mu, lam.

    Returns:
        image: the winner of the best-scoring outer iteration, (height, width) in the content's range.
        score: its score.
        scores: the winning score of every outer iteration.
        evaluations, seconds: of the whole run.
    """
    like = vgg["conv1_1"][0]
    low, high = float(np.min(content)), float(np.max(content))
    x, s = (minmax(torch.as_tensor(np.asarray(a)).to(like).expand(3, -1, -1)) for a in (content, style))
    start, paused, evaluations = time.perf_counter(), 0.0, 0

    def to_grey(image: torch.Tensor) -> np.ndarray:
        return image[0].cpu().numpy() * (high - low) + low

    def snapshot(stage: str, loss: float, image: torch.Tensor) -> None:
        nonlocal paused
        if callback is not None:
            now = time.perf_counter()
            callback(Snapshot(stage, evaluations, now - start - paused, loss, to_grey(image)))
            paused += time.perf_counter() - now

    def on_stylised(image: torch.Tensor, losses: list[float]) -> None:
        nonlocal evaluations
        evaluations += len(losses)
        snapshot("stylised", losses[-1], image)

    objective = Objective(vgg, content_targets(vgg, x), style_targets(vgg, s), style_weight, content_weight)
    snapshot("input", float("nan"), x)
    best, best_score, scores = x, float("inf"), []
    for iteration in range(iterations):
        out = outer_iteration(x, objective, denoise=None if iteration else denoise, on_stylised=on_stylised, **options)
        evaluations += out["scoring_evaluations"]
        x = out["image"]
        scores.append(float(out["scores"].flat[out["winner"]]))
        if scores[-1] < best_score:
            best, best_score = x, scores[-1]
        snapshot("outer", scores[-1], x)
    result = {"image": to_grey(best), "score": best_score, "scores": scores}
    return result | {"evaluations": evaluations, "seconds": time.perf_counter() - start - paused}
