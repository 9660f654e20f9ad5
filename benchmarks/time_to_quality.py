"""The published algorithm (PyTorch) against ours on one real slice: seconds, loss and scores along the way.

    python benchmarks/time_to_quality.py [--subject sub-03] [--contrast T2w] [--slice 1] [--size 128] [--iterations 3]
    python benchmarks/time_to_quality.py --short           # under three minutes: seconds per evaluation, extrapolated
    python benchmarks/time_to_quality.py --ours            # ours again, beside the published trajectory of the JSON

Both get the same slice, style, VGG16 weights, float32 and threads (``--device cuda`` puts both on a GPU). The published
algorithm is `torch_reference`, with the identity as its denoiser in the first iteration (BM3D's package has a licence
that not everybody can use; ``--bm3d`` takes it). It is resumable: each outer iteration is written to ``--work``, and a
rerun goes on from there. Its full schedule has 20 iterations of about 2,160 evaluations.

The loss is the published one (L1, style weight 5000, whole slices), for our images too, although ours descend on
another. The scores are those of `rnst_jax.metrics` against the registered 3 T slice, which neither algorithm sees.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import common
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch_reference as published

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.bench import record
from rnst_jax.features import weights
from rnst_jax.mask import bounding_box
from rnst_jax.presets import Config
from rnst_jax.priors import Style
from rnst_jax.style import StyleLoss

FULL_SCHEDULE = api.planned_evaluations(rnst.presets.get("upstream"))
KEYS = ("subject", "contrast", "slice", "size", "iterations", "platform")


def published_objective(pair: common.Pair, device: str) -> tuple[published.Objective, torch.Tensor]:
    """The published loss of a pair, and the start."""
    vgg = published.load_vgg16(weights.verify("vgg16"), device=device)
    x, s = (published.minmax(torch.tensor(a).to(vgg["conv1_1"][0]).expand(3, -1, -1)) for a in (pair.y, pair.style))
    return published.Objective(vgg, published.content_targets(vgg, x), published.style_targets(vgg, s)), x


def run_published(pair: common.Pair, iterations: int, device: str, work: pathlib.Path, denoise) -> list[dict]:
    """The trajectory of the published algorithm: a point per link of the chain and per outer iteration."""
    objective, x = published_objective(pair, device)
    points, evaluations, spent = [point("input", 0, 0.0, x[0], objective, pair)], 0, 0.0
    for iteration in range(iterations):
        saved = work / f"{iteration:02d}.npz"
        if saved.is_file():
            file = np.load(saved, allow_pickle=False)
            x, evaluations, spent = torch.as_tensor(file["x"]).to(x), int(file["evaluations"]), float(file["seconds"])
            points = list(map(dict, json.loads(str(file["points"]))))
            continue
        links: list[tuple[torch.Tensor, list[float], float]] = []
        start = time.perf_counter()
        out = published.outer_iteration(
            x,
            objective,
            denoise=None if iteration else denoise,
            on_stylised=lambda image, losses: links.append((image, losses, time.perf_counter())),  # noqa: B023
        )
        x = out["image"]
        grey = x[0].cpu()
        stop = time.perf_counter()
        for image, losses, at in links:
            evaluations += len(losses)
            points.append(point("stylised", evaluations, spent + at - start, image[0], objective, pair))
        evaluations += out["scoring_evaluations"]
        spent += stop - start
        points.append(point("outer", evaluations, spent, grey, objective, pair))
        print(points[-1], flush=True)
        work.mkdir(parents=True, exist_ok=True)
        np.savez(saved, x=x.cpu(), evaluations=evaluations, seconds=spent, points=json.dumps(points))
    return points


def point(stage: str, evaluations: int, spent: float, grey, objective: published.Objective, pair: common.Pair) -> dict:
    """One point of a trajectory; ``grey`` is an image (height, width)."""
    image = torch.as_tensor(np.array(grey.detach().cpu() if isinstance(grey, torch.Tensor) else grey))
    with torch.no_grad():
        loss = objective(image.to(objective.vgg["conv1_1"][0]).expand(3, -1, -1)).item()
    scores = pair.scores(image.numpy())
    return {"stage": stage, "evaluations": evaluations, "seconds": round(spent, 3), "loss": round(loss, 2)} | scores


def run_ours(pair: common.Pair, preset: str, objective: published.Objective, short: bool = False) -> list[dict]:
    """A preset along the way: runs of growing depth, each with its own time; compilation apart. In short its end."""
    config, points = rnst.presets.get(preset), []
    for depth in [config.depths[0] // share for share in ((1,) if short else (4, 2, 1))]:
        start = time.perf_counter()
        run = compile_ours(pair, dataclasses.replace(config, depths=(depth,)))
        compiled = time.perf_counter() - start
        spent = min(record.seconds(run) for _ in range(3))
        image = np.asarray(run().image[0])
        points.append(point(preset, depth, spent, image, objective, pair) | {"compile_seconds": round(compiled, 2)})
        print(points[-1], flush=True)
    return points


def compile_ours(pair: common.Pair, config: Config):
    """Our reconstruction of the pair, on the box of the head, as the command line does it."""
    rows, columns = bounding_box(pair.mask[None] > 0)
    style_rows, style_columns = bounding_box(pair.style_mask[None] > 0)
    run = api.compile(
        pair.y[None, rows, columns],
        pair.style[None, style_rows, style_columns],
        preset=config,
        mask=pair.mask[None, rows, columns],
        style_mask=pair.style_mask[None, style_rows, style_columns],
    )

    def whole():
        result = run()
        image = jnp.zeros((1, *pair.y.shape)).at[:, rows, columns].set(result.image)
        return dataclasses.replace(result, image=image)

    return whole


def per_evaluation(pair: common.Pair, device: str) -> dict[str, float]:
    """Seconds per evaluation of both engines, taking turns; ours on the whole slice and on the box of the head."""
    evaluations = max(4, 20 * 128**2 // pair.y.size)
    objective, x = published_objective(pair, device)
    extractor, loss = rnst.features.load("vgg16"), StyleLoss()

    def ours(y: np.ndarray, style: np.ndarray):
        prior = Style(extractor, loss)

        @jax.jit
        def run(y, style):
            return prior.stylise(y, loss.targets(extractor, y, style), evaluations)[0]

        arguments = jnp.asarray(y), jnp.asarray(style)
        return lambda: run(*arguments)

    def theirs():
        image, _ = published.engine(x, objective, 0, lump=evaluations)
        return np.asarray(image[0].cpu())

    box = bounding_box(pair.mask[None] > 0)
    medians = record.interleaved(
        {
            "published": theirs,
            "ours": ours(pair.y, pair.style),
            "ours, cropped": ours(pair.y[box], pair.style[bounding_box(pair.style_mask[None] > 0)]),
        }
    )
    return {name: median / evaluations for name, median in medians.items()}


def earlier(output: pathlib.Path, row: dict) -> dict:
    """The row of the same slice and schedule in the output."""
    found = json.loads(output.read_text())["rows"] if output.is_file() else []
    for known in found:
        if all(known[key] == row[key] for key in KEYS) and "published" in known:
            return known
    raise SystemExit(f"{output}: holds no published trajectory of this slice and schedule; run without --ours first")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time to quality: the published algorithm against ours")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--subject", default="sub-03", choices=sorted(common.STYLES))
    parser.add_argument("--contrast", default="T2w", choices=("T1w", "T2w"))
    parser.add_argument("--slice", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=3, help="outer iterations of the published algorithm, of 20")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--short", action="store_true", help="only the speed; extrapolates the full schedule")
    only.add_argument("--ours", action="store_true", help="rerun ours; the published trajectory is the output's own")
    parser.add_argument("--bm3d", action="store_true", help="denoise with the package bm3d in the first iteration")
    parser.add_argument("--device", default="cpu", help="PyTorch's; JAX takes its default")
    parser.add_argument("--threads", type=int, default=None, help="PyTorch's; default: all cores, as JAX")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("time_to_quality_work"))
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "time_to_quality.json")
    args = parser.parse_args()
    environment = record.environment() | {"torch": torch.__version__, "weights": "vgg16 (ImageNet)"}
    torch.set_num_threads(args.threads or environment["cores"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    pair = common.load_pair(args.subject, args.contrast, args.slice, args.size, args.data)
    speed = {} if args.ours else per_evaluation(pair, args.device)
    row = {
        "subject": args.subject,
        "contrast": args.contrast,
        "slice": args.slice,
        "size": args.size,
        "iterations": 0 if args.short else args.iterations,
        "platform": environment["platform"],
        "precision": "float32",
        "seconds_per_evaluation": {name: round(value, 5) for name, value in speed.items()},
        "environment": environment,
    }
    for name, value in speed.items():
        print(f"{name}: {value * 1e3:.1f} ms per evaluation, {value / speed['published']:.2f} of the published")
    if speed:
        full = speed["published"] * FULL_SCHEDULE / 60
        print(f"extrapolated, not run: the published schedule of {FULL_SCHEDULE} evaluations would take {full:.0f} min")
    objective, _ = published_objective(pair, args.device)
    row["ours"] = [p for preset in ("fast", "balanced") for p in run_ours(pair, preset, objective, args.short)]
    if args.ours:
        row = earlier(args.output, row) | {"ours": row["ours"], "environment_of_ours": environment}
    elif not args.short:
        work = args.work / f"{args.subject}_{args.contrast}_{args.slice}_{args.size}_{environment['platform']}"
        denoise = published.bm3d_denoiser(0.1) if args.bm3d else None
        row["published"] = run_published(pair, args.iterations, args.device, work, denoise)
        row["published_denoiser"] = "bm3d" if args.bm3d else "identity"
    if not args.ours:
        row["peak_memory_bytes"] = record.peak_memory_bytes()
    record.append(args.output, row, KEYS)
    points = row.get("published", []) + row["ours"]
    head = (
        "stage",
        "evaluations",
        "seconds",
        "loss",
        "minmax_psnr",
        "minmax_ssim",
        "head_psnr",
        "head_ssim",
        "head_hfen",
    )
    print(record.table(head, [[p[key] for key in head] for p in points]))


if __name__ == "__main__":
    main()
