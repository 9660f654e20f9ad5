"""Engine against engine: how many evaluations does ours need for the losses that the published one reaches?

    python benchmarks/race.py [--size 96] [--output benchmarks/results/race.json]
    python benchmarks/race.py --ours        # ours again, beside the published losses of the JSON

The published engine is PyTorch's (`torch_reference.engine`: L-BFGS, fixed step 0.4, three channels); ours is that of
`rnst_jax.priors.Style` for free pixels, Adam on several scales, one channel. Both start at the scan (sub-03 T2w slice
1, style sub-02) and descend on the published loss. Images of both are judged by PyTorch's loss: the lowest met up to
N evaluations for the published engine, the end of a run of N / 10 and of one of N / 5 for ours, whose rate falls
along the run.
"""

import argparse
import json
import pathlib

import common
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch_reference as published
from time_to_quality import published_objective

import rnst_jax as rnst
from rnst_jax.bench import record
from rnst_jax.priors import Style
from rnst_jax.style import StyleLoss

AT = (500, 1100, 1800, 4200)
SHARES = (10, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluations to the losses of the published engine")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--threads", type=int, default=None, help="PyTorch's; default: all cores")
    parser.add_argument("--ours", action="store_true", help="rerun ours; the published losses are the output's own")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "race.json")
    args = parser.parse_args()
    environment = record.environment() | {"torch": torch.__version__}
    torch.set_num_threads(args.threads or environment["cores"])
    pair = common.load_pair("sub-03", "T2w", 1, args.size, args.data)
    objective, x = published_objective(pair, "cpu")
    extractor, loss = rnst.features.load("vgg16"), StyleLoss()
    start, style = (jnp.asarray(published.minmax(torch.tensor(a)).numpy()) for a in (pair.y, pair.style))
    targets = loss.targets(extractor, start, style)

    ours = {}
    for n in AT:
        for share in SHARES:
            steps = n // share
            prior = Style(extractor, loss)
            image = jax.jit(lambda y, t, p=prior, k=steps: p.stylise(y, t, k)[0])(start, targets)
            with torch.no_grad():
                ours[n, share] = objective(torch.tensor(np.asarray(image)).expand(3, -1, -1)).item()
            print(f"ours, {steps} evaluations: {ours[n, share]:.2f}", flush=True)
    if args.ours:
        known = {(row["evaluations"], row["size"]): row for row in json.loads(args.output.read_text())["rows"]}
        best = {n: known[n, args.size]["published_loss"] for n in AT}
    else:
        _, losses = published.engine(x, objective, max(AT) - 1)
        best = {n: min(losses[:n]) for n in AT}
    lines = []
    for n in AT:
        row = {
            "evaluations": n,
            "size": args.size,
            "precision": "float32",
            "weights": "vgg16 (ImageNet)",
            "published_loss": round(best[n], 3),
            **{f"ours_at_n_over_{share}": round(ours[n, share], 3) for share in SHARES},
            "platform": environment["platform"],
            "environment": environment,
        }
        record.append(args.output, row, ("evaluations", "size", "platform"))
        lines.append([n, row["published_loss"], *(row[f"ours_at_n_over_{share}"] for share in SHARES)])
    print(record.table(("N", "published, N", *(f"ours, N / {share}" for share in SHARES)), lines))


if __name__ == "__main__":
    main()
