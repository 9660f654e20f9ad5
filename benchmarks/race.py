"""Engine against engine: how many evaluations does ours need for the losses that the published one reaches?

    python benchmarks/race.py [--size 96] [--output benchmarks/results/race.json]
    python benchmarks/race.py --ours        # ours again, beside the published losses of the JSON

The published engine is PyTorch's (`torch_reference.engine`: L-BFGS, fixed step 0.4); ours is that of
`rnst_jax.priors.Style` for free pixels, L-BFGS on several scales. Both start at the scan (sub-03 T2w slice 1, style
sub-02), move three channels and descend on the published loss; what counts is the lowest loss met up to so many
evaluations. The last image of ours is judged by PyTorch's loss too, which the JSON holds beside ours.

The published engine's 4,200 evaluations take more than an hour at 256 x 256 on one core.
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
    start, style = (jnp.repeat(image[..., None], 3, -1) for image in (start, style))
    targets = loss.targets(extractor, start, style)

    steps = max(AT) // min(SHARES)
    prior = Style(extractor, loss)
    image, _, ours = jax.jit(lambda y, t: prior.stylise(y, t, steps))(start, targets)
    with torch.no_grad():
        judged = objective(torch.tensor(np.asarray(image)).permute(2, 0, 1)).item()
    ours = np.minimum.accumulate(ours)
    print(f"ours after {steps} evaluations: {ours[-1]:.3f}, by PyTorch's loss {judged:.3f}", flush=True)
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
            **{f"ours_at_n_over_{share}": round(float(ours[n // share - 1]), 3) for share in SHARES},
            "our_last": {"evaluations": steps, "loss": round(float(ours[-1]), 3), "by_pytorch": round(judged, 3)},
            "platform": environment["platform"],
            "environment": environment,
        }
        record.append(args.output, row, ("evaluations", "size", "platform"))
        lines.append([n, row["published_loss"], *(row[f"ours_at_n_over_{share}"] for share in SHARES)])
    print(record.table(("N", "published, N", *(f"ours, N / {share}" for share in SHARES)), lines))


if __name__ == "__main__":
    main()
