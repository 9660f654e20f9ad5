"""Make upstream.npz: the published algorithm, shortened, on a procedural pair of slices.

    python -m tests.golden.make_upstream        (from the repository root; needs torch, takes about 3 minutes)

One outer iteration of ``benchmarks/torch_reference.py`` on `phantom_pair` (SEED, SIZE, NOISE): VGG16, style weight
5000, content weight 1, the identity as denoiser, depths (20, 20, 20), that is three links of 40 evaluations each, and
15 candidates with 20 scoring evaluations each; 420 evaluations. One thread, float32. Keys:

- ``content``, ``style`` (64, 64): the pair, min-max scaled to [0, 1]. The content is the start and the content target.
- ``losses`` (40,): total loss of every evaluation of the first link, which is the engine run from the content image.
  ``losses[0]`` is the loss at the content itself, ``losses[k]`` after k moves. The 40th move is not evaluated.
- ``chain_losses`` (3, 40): the same for each link; row 0 is ``losses``, ``chain_losses[j, 0]`` is at ``chain[j - 1]``.
- ``chain`` (3, 64, 64, 3): T_1, T_2, T_3, clamped, each after its last, unevaluated move.
- ``scores`` (5, 3): score of candidate (i, j) at ``[i - 1, j - 1]``: the loss at the 20th evaluation of its scoring
  run, before that run's last move.
- ``winner`` (), int64: index of the lowest score in C order, ``3 (i - 1) + (j - 1)``.
- ``candidate`` (64, 64, 3): the winner, min-max rescaled, before its scoring run.
- ``image`` (64, 64, 3): the winner after its scoring run, clamped: what the outer iteration returns.
- ``float64/losses``, ``float64/chain_losses``, ``float64/scores`` (float64), ``float64/winner`` (int64): the same run
  in float64, to measure chaos.

Fixed-step L-BFGS on L1 losses is chaotic: between float32 and float64 the losses of the first link differ by 6e-7 at
evaluation 4, 2e-5 at 6, 7e-4 at 9, and by up to 2 % from there on. From inputs moved by 1e-6 they differ by 4e-4 from
evaluation 2 on, and by up to 3 % later. The content loss starts at its kink: a content target that differs from the
start's features by rounding alone (1e-7, relative) moves losses by 1e-4 at evaluation 3, 1e-3 at 9 and up to 3 %, so
the gradient there is that of the style alone only where both go through the same program. With other seeds one scoring
run now and then blew up. SEED was chosen for a pick that survives this: the best score lies 12 % below the second, and
in float64 and in three runs from moved inputs (``--perturb 3`` repeats them) scores of the two moved by at most 3 %,
and the winner stayed. The script fails where the gap is not more than twice what the two scores move.
"""

import argparse
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
WEIGHTS = HERE.parents[1] / "weights" / "vgg16.safetensors"
SEED, SIZE, NOISE = 1, 64, 0.05
DEPTHS = (20, 20, 20)


def run(content: np.ndarray, style: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """The shortened outer iteration, as arrays (images channel last)."""
    import torch

    from benchmarks import torch_reference as ref

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    vgg = ref.load_vgg16(WEIGHTS, getattr(torch, dtype))
    like = vgg["conv1_1"][0]
    x, s = (torch.as_tensor(a).to(like).expand(3, -1, -1) for a in (content, style))
    objective = ref.Objective(vgg, ref.content_targets(vgg, x), ref.style_targets(vgg, s))
    chain_losses: list[list[float]] = []
    out = ref.outer_iteration(x, objective, depths=DEPTHS, on_stylised=lambda _, losses: chain_losses.append(losses))
    return {
        "losses": np.array(chain_losses[0]),
        "chain_losses": np.array(chain_losses),
        "chain": np.stack([image.permute(1, 2, 0).numpy() for image in out["chain"]]),
        "scores": out["scores"],
        "winner": np.array(out["winner"]),
        "candidate": out["candidate"].permute(1, 2, 0).numpy(),
        "image": out["image"].permute(1, 2, 0).numpy(),
    }


def compare(reference: dict[str, np.ndarray], other: dict[str, np.ndarray], name: str) -> None:
    """Print how far two runs are apart; fail where the choice of the winner is not robust."""
    apart = np.abs(other["losses"] / reference["losses"] - 1)
    at = [0, 1, 2, 4, 6, 9, 14, 19, 29, 39]
    print(f"{name}: relative difference of losses " + ", ".join(f"[{k}] {apart[k]:.1e}" for k in at), end="")
    print(f"; largest of the 40 {apart.max():.1e}")
    best, second = np.argsort(reference["scores"], axis=None)[:2]
    moved = np.abs(other["scores"] - reference["scores"]).flat
    gap = reference["scores"].flat[second] - reference["scores"].flat[best]
    score = reference["scores"].flat[best]
    print(f"  scores: relative difference median {np.median(moved / reference['scores'].ravel()):.1e}, ", end="")
    print(f"of the best {moved[best] / score:.1e}, of the second {moved[second] / score:.1e} (of the best score)")
    print(
        f"  winners {reference['winner']} and {other['winner']}; gap to the second {gap / score:.3f} of the best score"
    )
    if reference["winner"] != other["winner"] or gap < 2 * max(moved[best], moved[second]):
        raise SystemExit("the pick is not robust: choose another SEED")


def main() -> None:
    from tests.golden.phantom_pair import phantom_pair

    parser = argparse.ArgumentParser(description="Make upstream.npz")
    parser.add_argument("--perturb", type=int, default=0, metavar="N", help="also N runs from inputs moved by 1e-6")
    args = parser.parse_args()
    content, style = phantom_pair(SEED, SIZE, NOISE)
    single, double = run(content, style, "float32"), run(content, style, "float64")
    compare(single, double, "float64")
    for k in range(args.perturb):
        shift = 1e-6 * np.random.default_rng(k).standard_normal(content.shape)
        compare(single, run((content + shift).astype(np.float32), style, "float32"), f"perturbed {k}")
    out = {key: np.asarray(value, np.float32) for key, value in single.items() if key != "winner"}
    out |= {"content": content, "style": style, "winner": single["winner"].astype(np.int64)}
    out |= {f"float64/{key}": double[key] for key in ("losses", "chain_losses", "scores", "winner")}
    file = HERE / "upstream.npz"
    np.savez_compressed(file, **out)
    print(f"{file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
