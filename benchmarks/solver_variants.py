"""Every solver with every prior on one slice: score against evaluations and time.

    python benchmarks/solver_variants.py [--data ../shared/data/ulf] [--size 128] [--steps 6] [--only TEXT]

By default the slice is MNI152's at z = 10 mm as `rnst_jax.simulate.degrade` shows it, and the style its slice at
z = 26 mm; ``--data`` takes a real pair instead (sub-03's T2w slice at 0.055 T, sub-02's 3 T slice as style). A = I.

The priors: non-local means (a RED denoiser), the style engine on an intensity map, the mean of both, and a user's
function (a 3 x 3 median). Every solver takes the same number of steps from y with the same weights, none of them tuned:
the table compares what a step does and costs, not the best that a method can give. An evaluation is a call of a
denoiser or function, or a pass of the style network forwards and back.

The reference enters the scores only, after the run. Compile and run time are apart; the time of a step is the run's,
divided by the steps. Writes benchmarks/results/solver_variants.json and docs/figures/solver_variants.png, and prints a
markdown table.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np

import rnst_jax as rnst
from rnst_jax import solvers
from rnst_jax.bench import record
from rnst_jax.cli.demo import template
from rnst_jax.denoise import NonLocalMeans, estimate_noise
from rnst_jax.mask import head_mask
from rnst_jax.priors import Denoised, Function, Style, WeightedSum
from rnst_jax.schedules import Geometric
from rnst_jax.simulate import degrade
from rnst_jax.style import Adam, IntensityMap, StyleLoss

TAPS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
LAM, MU = 1.0, 0.5


def median(x: jax.Array) -> jax.Array:
    """The median of 3 x 3 pixels: a function as a user may bring it."""
    shifts = [jnp.roll(x, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return jnp.median(jnp.stack(shifts), axis=0)


def priors() -> dict[str, Any]:
    extractor = rnst.features.load("vgg16", taps=TAPS)
    loss = StyleLoss(20.0, 1.0, 0.01, 100.0, style_taps=TAPS, content_taps=("conv2_2",), quantile_count=64)
    style = Style(extractor, loss, IntensityMap(1.0), Adam(0.05), evaluations=10, reduce=2)
    denoiser = Denoised(NonLocalMeans())
    return {
        "RED denoiser": denoiser,
        "style": style,
        "sum": WeightedSum((denoiser, style), (0.5, 0.5)),
        "function": Function(median),
    }


def variants(steps: int) -> dict[str, Callable[[Any], Any]]:
    return {
        "RedGradient": lambda p: solvers.RedGradient(p, MU, LAM),
        "RedGradient, mu falls": lambda p: solvers.RedGradient(p, Geometric(MU, MU / 4, steps), LAM),
        "RedFixedPoint": lambda p: solvers.RedFixedPoint(p, LAM),
        "RedProximalGradient, L = 1.5": lambda p: solvers.RedProximalGradient(p, LAM, 1.5),
        "red_apg": lambda p: solvers.red_apg(p, LAM),
        "RedAdmm": lambda p: solvers.RedAdmm(p, LAM, 1.0),
        "PnpProximalGradient": lambda p: solvers.PnpProximalGradient(p, MU),
        "pnp_fista": lambda p: solvers.pnp_fista(p, MU),
        "PnpAdmm": lambda p: solvers.PnpAdmm(p, MU),
        "HalfQuadratic": lambda p: solvers.HalfQuadratic(p, MU),
        "Nesterov(RedGradient)": lambda p: solvers.Nesterov(solvers.RedGradient(p, MU, LAM), restart=True),
        "Anderson(RedGradient)": lambda p: solvers.Anderson(solvers.RedGradient(p, MU, LAM), memory=3),
        "Best(RedGradient)": lambda p: solvers.Best(solvers.RedGradient(p, MU, LAM), score_for(p)),
    }


def score_for(prior: Any) -> solvers.RedEnergy | None:
    """RED's energy where the prior has no score of its own."""
    return solvers.RedEnergy(prior, LAM) if isinstance(prior, (Denoised, Function)) else None


def rnst_solver(prior: WeightedSum) -> solvers.Rnst:
    """The RNST step with the parts of the sum."""
    denoiser, style = prior.priors
    return solvers.Rnst(style, denoiser, mu=MU, alpha=1.0, beta=0.5, lam=0.5, depths=(10,), candidates=1, refine=0)


def template_pair(size: int) -> common.Pair:
    """A degraded slice of MNI152, and another slice as its style."""

    def slice_at(height_mm: float) -> np.ndarray:
        image = np.rot90(np.asarray(template(height_mm).data[..., 0], np.float32))
        side = max(image.shape)
        square = np.pad(image, [((side - n) // 2, side - n - (side - n) // 2) for n in image.shape])
        return np.clip(np.asarray(jax.image.resize(square, (size, size), "linear")), 0, 1)

    reference, style = slice_at(10.0), slice_at(26.0)
    y = np.clip(np.asarray(degrade(jnp.asarray(reference), jax.random.key(0))), 0, 1)
    masks = [head_mask(image) for image in (y, style, reference)]
    return common.Pair(y, style, masks[0].astype(np.float32), masks[1].astype(np.float32), reference, masks[2])


def problem_of(pair: common.Pair) -> rnst.Problem:
    y, style, mask, style_mask = (jnp.asarray(a) for a in (pair.y, pair.style, pair.mask, pair.style_mask))
    return rnst.Problem(
        y * mask, style * style_mask, mask, style_mask, rnst.physics.Identity(), estimate_noise(y, mask)
    )


def run(name: str, prior_name: str, solver: Any, pair: common.Pair, steps: int) -> dict[str, Any]:
    """One row: scores, evaluations and changes after each step; seconds to compile and to run."""

    def iterate(problem, solver):
        start = solver.init(problem, problem.y)

        def step(state, number):
            state = solver.step(problem, state, number, jax.random.key(0))
            score = jnp.nan if state.score is None else state.score
            return state, (solver.image(state), state.evaluations, solver.error(state), score)

        first = jnp.nan if start.score is None else start.score
        return first, jax.lax.scan(step, start, jnp.arange(steps))[1]

    problem = problem_of(pair)
    began = time.perf_counter()
    compiled = jax.jit(iterate).lower(problem, solver).compile()
    compile_seconds = time.perf_counter() - began
    jax.block_until_ready(compiled(problem, solver))
    began = time.perf_counter()
    first, (images, evaluations, errors, scores) = jax.block_until_ready(compiled(problem, solver))
    run_seconds = time.perf_counter() - began
    images, scores = [problem.y, *images], [float(first), *np.asarray(scores, float)]
    if solver.keeps_best:
        best = [min(range(n + 1), key=lambda k: scores[k]) for n in range(len(scores))]
        images = [images[k] for k in best]
    found = [pair.scores(image * problem.mask) for image in images]
    return {
        "solver": name,
        "prior": prior_name,
        "evaluations": [0, *np.asarray(evaluations).tolist()],
        "seconds": [round(run_seconds * n / steps, 4) for n in range(steps + 1)],
        "head_psnr": [score["head_psnr"] for score in found],
        "head_ssim": [score["head_ssim"] for score in found],
        "change": [round(float(e), 6) for e in errors],
        "prior_score": [None if np.isnan(s) else round(s, 5) for s in scores],
        "compile_seconds": round(compile_seconds, 2),
        "run_seconds": round(run_seconds, 3),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """PSNR and SSIM in the head after the last step, evaluations, seconds; a line per solver, a column per prior."""
    names = list(dict.fromkeys(row["prior"] for row in rows))
    start = {row["prior"]: f"{row['head_psnr'][0]:.2f} / {row['head_ssim'][0]:.3f}" for row in rows}
    lines = [["y itself", *start.values()]]
    for solver in dict.fromkeys(row["solver"] for row in rows):
        cells = {row["prior"]: row for row in rows if row["solver"] == solver}
        line = [solver]
        for name in names:
            row = cells.get(name)
            line.append(
                f"{row['head_psnr'][-1]:.2f} / {row['head_ssim'][-1]:.3f} ({row['evaluations'][-1]}, "
                f"{row['run_seconds']:.2f} s)"
                if row
                else ""
            )
        lines.append(line)
    return record.table(["solver", *names], lines)


def draw(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
    """PSNR in the head against evaluations and seconds, a column per prior."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["prior"] for row in rows))
    labels = list(dict.fromkeys(row["solver"] for row in rows))
    figure = Figure(figsize=(4 * len(names), 8), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False, sharey="col")
    for column, name in enumerate(names):
        for row in (row for row in rows if row["prior"] == name):
            number = labels.index(row["solver"])
            style = {"color": f"C{number % 10}", "linestyle": ("-", "--")[number // 10], "label": row["solver"]}
            for axis, x in zip(axes[:, column], ("evaluations", "seconds"), strict=True):
                axis.plot(row[x], row["head_psnr"], marker=".", **style)
                axis.set_xlabel(x)
        axes[0, column].set_title(name)
    for axis in axes[:, 0]:
        axis.set_ylabel("PSNR in the head (dB)")
    handles = {line.get_label(): line for axis in axes[0] for line in axis.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=70)


def main() -> None:
    parser = argparse.ArgumentParser(description="Every solver with every prior on one slice")
    parser.add_argument("--data", type=pathlib.Path, help="folder of real pairs; the MNI152 template by default")
    parser.add_argument("--size", type=int, default=128, help="side of the slice in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="outer iterations (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the solvers whose name holds this")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "solver_variants.json")
    args = parser.parse_args()
    pair = template_pair(args.size) if args.data is None else common.load_pair("sub-03", "T2w", 1, args.size, args.data)
    rows = []
    for prior_name, prior in priors().items():
        made = {name: make(prior) for name, make in variants(args.steps).items()}
        if isinstance(prior, WeightedSum):
            made["Rnst"] = rnst_solver(prior)
        for name, solver in made.items():
            if args.only in name:
                rows.append(run(name, prior_name, solver, pair, args.steps))
                last = rows[-1]
                print(prior_name, name, last["head_psnr"][-1], last["compile_seconds"], last["run_seconds"], flush=True)
    slice_name = "MNI152, degraded" if args.data is None else "sub-03 T2w, slice 1"
    content = {"slice": slice_name, "size": args.size, "steps": args.steps, "environment": record.environment()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({**content, "rows": rows}, indent=1) + "\n")
    draw(rows, common.FIGURES / "solver_variants.png")
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
