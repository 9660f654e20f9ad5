"""Which step rule should drive the style engine? Loss against evaluations and time on one real slice.

    python benchmarks/engine.py [--data ../shared/data/ulf] [--only TEXT] [--output benchmarks/results/engine.json]

The problem: slice 1 of sub-03's 0.055 T T2w scan at 128 x 128 as content and start, the same slice of sub-02's 3 T T2w
scan at the same pixel size (2 mm) as style, both min-max scaled; VGG16 with the published loss (L1, style weight 5000,
content weight 1, whole slices). Every row starts at the content image, is clipped to [0, 1] before each evaluation, and
is reported in the published loss, also where it descends on a smoothed one.

An evaluation is one value and gradient of the loss. Fixed-step rules take one per step; the line search's own ones are
counted too, and its column is the lowest loss met so far. Rows are written to the JSON one by one as they finish;
``--only`` runs the rows whose name holds TEXT and leaves the others in the file as they are.

Fixed-step L-BFGS is chaotic on this loss: another number of threads gives other numbers after some tens of evaluations.
Adam's curve depends on the length of its run, because its rate falls to zero along it. The time printed is the
processor's, over all threads; the JSON holds the clock's as well. In the smoothed row it includes the published loss,
which is evaluated beside the smoothed one only to be reported.
"""

import argparse
import json
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np

import rnst_jax as rnst
from rnst_jax.bench import record
from rnst_jax.style import Adam, MultiscaleLbfgs, OptaxLbfgs, Optimiser, StyleLoss, TorchLbfgs, minimise

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE, PIXEL, SLICE = 128, 2.0, 1
AT = (1, 20, 50, 100, 200, 300, 600)
TO_16 = (1, 2, 4, 8, 16)


class Row(NamedTuple):
    """One line of the table."""

    name: str
    optimiser: Optimiser
    steps: int
    channels: int = 1
    smoothing: float = 0.0


ROWS = [
    Row("optax L-BFGS, rate 0.4", OptaxLbfgs(0.4), 600),
    Row("torch-rule L-BFGS, rate 0.4", TorchLbfgs(0.4), 300),
    Row("torch-rule L-BFGS, rate 0.4, three channels", TorchLbfgs(0.4), 300, channels=3),
    Row("optax L-BFGS, zoom line search", OptaxLbfgs(linesearch=True), 100),
    Row("Adam 0.02", Adam(0.02), 300),
    Row("multiscale Adam 0.01, scales to 8", Adam(0.01, factors=TO_16[:-1]), 300),
    Row("multiscale Adam 0.005, scales to 16", Adam(0.005, factors=TO_16), 300),
    Row("multiscale Adam 0.003, b1 0.95, scales to 16", Adam(0.003, 0.95, factors=TO_16), 300),
    Row("multiscale Adam 0.005, b1 0.95, scales to 16", Adam(0.005, 0.95, factors=TO_16), 300),
    Row("multiscale Adam 0.005, b1 0.95, scales to 32", Adam(0.005, 0.95, factors=(*TO_16, 32)), 300),
    Row("multiscale Adam 0.005, b2 0.8, scales to 32", Adam(0.005, b2=0.8, factors=(*TO_16, 32)), 300),
    Row(
        "multiscale Adam 0.005, b1 0.95, scales to 16, smoothed", Adam(0.005, 0.95, factors=TO_16), 300, smoothing=0.01
    ),
    Row("multiscale L-BFGS, scales to 32", MultiscaleLbfgs(), 300),
    Row("multiscale L-BFGS, scales to 32, three channels", MultiscaleLbfgs(), 300, channels=3),
]


def minmax(image: jax.Array) -> jax.Array:
    return (image - image.min()) / (image.max() - image.min())


def resample(path: pathlib.Path, pixel: float) -> jax.Array:
    """A slice at SIZE x SIZE pixels of PIXEL mm, cropped or padded about its centre; ``pixel`` is the file's, in mm."""
    slice_ = jnp.asarray(nib.load(path).dataobj[..., SLICE], jnp.float32)  # type: ignore[attr-defined]
    shape = tuple(round(n * pixel / PIXEL) for n in slice_.shape)
    image = jax.image.resize(slice_, shape, "linear")
    for axis, n in enumerate(shape):
        before = (max(SIZE - n, 0) // 2, max(n - SIZE, 0) // 2)
        image = jnp.take(image, jnp.arange(before[1], before[1] + min(n, SIZE)), axis)
        pad = [(0, 0), (0, 0)]
        pad[axis] = (before[0], max(SIZE - n, 0) - before[0])
        image = jnp.pad(image, pad, constant_values=slice_.min())
    return minmax(image)


def load_pair(data: pathlib.Path) -> tuple[jax.Array, jax.Array]:
    content = resample(data / "sub-03" / "sub-03_acq-0p055T_T2w.nii.gz", 1.0)
    style = resample(data / "sub-02" / "sub-02_acq-3T_T2w.nii.gz", 0.49)
    return content, style


def run(row: Row, content: jax.Array, style: jax.Array) -> dict:
    """Losses at every evaluation, and the time they took."""
    extractor, published = rnst.features.load("vgg16"), StyleLoss()
    descended = StyleLoss(smoothing=row.smoothing)
    if row.channels == 3:
        content, style = (jnp.repeat(image[..., None], 3, -1) for image in (content, style))
    line_search = isinstance(row.optimiser, OptaxLbfgs) and row.optimiser.linesearch
    met: list[float] = []

    def minimise_it(content, style, optimiser):
        targets = published.targets(extractor, content, style)

        def objective(x):
            loss = published(extractor, x, targets)
            if line_search:
                jax.debug.callback(lambda loss: met.append(float(loss)), loss)
            if row.smoothing:
                # the value of the published loss with the gradient of the smoothed one
                smooth = descended(extractor, x, targets)
                loss = jax.lax.stop_gradient(loss) + smooth - jax.lax.stop_gradient(smooth)
            return loss

        return minimise(objective, content, optimiser.build(row.steps), row.steps)

    arguments = (content, style, row.optimiser)
    start = time.perf_counter()
    compiled = jax.jit(minimise_it).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    start, start_cpu = time.perf_counter(), time.process_time()
    image, losses = jax.block_until_ready(compiled(*arguments))
    jax.effects_barrier()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    trace = np.minimum.accumulate(met) if line_search else np.asarray(losses)
    return {
        "row": row.name,
        "optimiser": f"{row.optimiser}",
        "steps": row.steps,
        "channels": row.channels,
        "smoothing": row.smoothing,
        "evaluations": len(trace),
        "loss": {str(n): round(float(trace[n - 1]), 3) for n in AT if n <= len(trace)},
        "last_loss": round(float(trace[-1]), 3),
        "seconds_per_evaluation": round(seconds / len(trace), 4),
        "cpu_seconds_per_evaluation": round(cpu_seconds / len(trace), 4),
        "compile_seconds": round(compile_seconds, 2),
        "finite": bool(jnp.isfinite(image).all()),
        "environment": record.environment(),
    }


def table(results: list[dict]) -> str:
    """The results as a markdown table."""
    lines = []
    for result in results:
        losses = [f"{result['loss'][str(n)]:.1f}" if str(n) in result["loss"] else "" for n in AT]
        lines.append([result["row"], *losses, f"{result['cpu_seconds_per_evaluation']:.3f}"])
    return record.table(["step rule", *(f"loss at {n}" for n in AT), "CPU s / evaluation"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Step rules of the style engine: loss against evaluations")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data" / "ulf")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results" / "engine.json")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the rows whose name holds this")
    args = parser.parse_args()
    content, style = load_pair(args.data)
    results = {}
    if args.output.is_file():
        results = {result["row"]: result for result in json.loads(args.output.read_text())["rows"]}
    for row in ROWS:
        if args.only in row.name:
            results[row.name] = run(row, content, style)
            print(row.name, results[row.name]["loss"], results[row.name]["seconds_per_evaluation"], flush=True)
            ordered = [results[row.name] for row in ROWS if row.name in results]
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps({"rows": ordered}, indent=1) + "\n")
    print("\n" + table([results[row.name] for row in ROWS if row.name in results]))


if __name__ == "__main__":
    main()
