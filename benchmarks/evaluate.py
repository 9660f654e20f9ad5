"""Are our images better than what is simple? Baselines and presets on real pairs and on simulated ones.

    python benchmarks/evaluate.py [--sets real simulated coarse fields elsewhere] [--rows TEXT ...] [--groups TEXT ...]
                                     [--slices N] [--output F.json]

The sets are those of `pairs`. Every row gets the same slice, style, masks and noise estimate (not the truth), and is
scored slice by slice against a reference that none of them sees. The differences to the input, and of ``balanced`` to
the best baseline, come with 95 % intervals: a bootstrap of the subjects (real) or of the slices (simulated), 10,000
draws. Real slices are neighbours: `rnst_jax.trust.slice_jumps` of them comes along.

The published presets would take days (`whole_schedule` runs them on a GPU). They have one outer iteration of 20 here,
or a tenth of one; these rows run only where ``--rows`` names them, best on the set ``coarse``, and ``--groups``
("axial 25": plane and noise) chooses some of it, ``--slices 1`` the first slice of each group: an iteration takes 10
minutes of two cores and two slices.
"""

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import pairs
from common import METRICS
from pairs import Group
from skimage.exposure import match_histograms
from skimage.restoration import denoise_nl_means, denoise_wavelet

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.bench import record
from rnst_jax.mask import bounding_box
from rnst_jax.scalp import rim_weight
from rnst_jax.trust import slice_jumps


def match(x: np.ndarray, mask: np.ndarray, style: np.ndarray, style_mask: np.ndarray) -> np.ndarray:
    """Intensities inside the head matched to those inside the style's head; air black."""
    out = np.zeros_like(x)
    out[mask > 0] = match_histograms(x[mask > 0], style[style_mask > 0])
    return out


def slice_by_slice(function: Callable[..., np.ndarray]) -> Callable[[Group], np.ndarray]:
    """A row from a function of one slice: image, sigma, mask, style, style mask."""

    def row(g: Group) -> np.ndarray:
        return np.stack([function(*each) for each in zip(g.y, g.sigma, g.mask, g.style, g.style_mask, strict=True)])

    return row


def nlm(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return denoise_nl_means(y, h=0.8 * float(sigma), sigma=float(sigma), patch_size=5, patch_distance=6)


def wavelet(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    return denoise_wavelet(y, sigma=float(sigma), wavelet="sym4", method="BayesShrink", mode="soft")


def bm3d(y: np.ndarray, sigma: float, *_: Any) -> np.ndarray:
    from bm3d import bm3d as package

    return np.asarray(package(y, sigma_psd=float(sigma)))


def preset(config: rnst.presets.Config) -> Callable[[Group], np.ndarray]:
    """A row from one of our configs, on the boxes of the heads if it crops, as the command line works."""

    def row(g: Group) -> np.ndarray:
        boxes = ((slice(None), *(bounding_box(masks > 0) if config.crop else ())) for masks in (g.mask, g.style_mask))
        box, style_box = boxes
        options = {"mask": g.mask[box], "style_mask": g.style_mask[style_box], "sigma": g.sigma, "preset": config}
        images = np.zeros(g.y.shape, np.float32)
        images[box] = api.reconstruct(g.y[box], g.style[style_box], **options).image
        return images

    return row


def rows() -> dict[str, Callable[[Group], np.ndarray]]:
    """All rows by name."""
    balanced = rnst.presets.get("balanced")
    bare = {"lam": 0.0, "sharpening": 0.0, "denoiser": "identity", "intensity_weight": 0.0}
    pixels = dataclasses.replace(balanced, **NO_STYLE | FREE_PIXELS | bare)
    return {
        "input": lambda g: g.y,
        "NLM": slice_by_slice(nlm),
        "BM3D (package)": slice_by_slice(bm3d),
        "wavelet": slice_by_slice(wavelet),
        "histogram match": slice_by_slice(lambda y, _, mask, style, style_mask: match_histograms(y, style)),
        "NLM, masked match": slice_by_slice(lambda y, sigma, *rest: match(nlm(y, sigma) * rest[0], *rest)),
        "style transfer without RED": preset(pixels),
        "RED without style": preset(dataclasses.replace(balanced, **NO_STYLE)),
        "fast": preset(rnst.presets.get("fast")),
        "balanced": preset(balanced),
    } | {
        f"{name}, {title}": preset(shortened(name, share))
        for name in ("upstream", "paper")
        for title, share in SHARES.items()
    }


SHARES = {"one iteration": 1, "a tenth of an iteration": 10}
"""Rows of the published presets: one of their 20 outer iterations, with what share of its evaluations."""


def shortened(name: str, share: int) -> rnst.presets.Config:
    """A published preset with one outer iteration, 2,160 evaluations of 43,200, and of those one in ``share``."""
    full = rnst.presets.get(name)
    depths = tuple(n // share for n in full.depths)
    return dataclasses.replace(full, steps=1, depths=depths, refine=full.refine // share)


NO_STYLE: dict[str, Any] = {
    "beta": 0.0, "rim_gain": 1.0, "brain_darkening": 1.0, "highlights": 0.0, "bias_correction": False, "endpoints": 0.0,
}  # fmt: skip
"""Settings with which the style, and what is known of high-field scans, change nothing."""

FREE_PIXELS: dict[str, Any] = {
    "parametrisation": "pixels", "reduce": 1, "learning_rate": 0.005, "factors": (1, 2, 4, 8, 16, 32),
    "beta": 1.0, "caution": 0.0,
}  # fmt: skip
"""Settings with which the whole image is the style engine's."""

BASELINES = ("NLM", "BM3D (package)", "wavelet", "histogram match", "NLM, masked match")


def score(g: Group, images: np.ndarray) -> list[dict[str, float]]:
    """The five scores of every slice."""
    found = [common.scores(*each) for each in zip(g.reference, images, g.reference_mask, strict=True)]
    return [{metric: round(value, 5) for metric, value in scores.items()} for scores in found]


def jumps(g: Group, images: np.ndarray) -> list[float]:
    """How differently neighbouring slices were mapped, inside the rims."""
    inner = np.stack([(mask > 0) & (rim_weight(mask) < 0.01) for mask in g.mask])
    return [round(float(jump), 4) for jump in slice_jumps(g.y, images, inner)]


def interval(differences: dict[Any, list[float]], draws: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of paired differences; whole units (subjects, slices) are drawn."""
    means = np.array([np.mean(values) for values in differences.values()])
    picks = np.random.default_rng(0).integers(len(means), size=(draws, len(means)))
    low, high = np.percentile(means[picks].mean(axis=1), (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def summary(cells: list[dict], kind: str, contrast: str) -> str:
    """Means of one set as a table, with the interval of balanced against the best baseline of each metric."""
    chosen = [c for c in cells if c["set"] == kind and c["contrast"] == contrast]
    names = list(dict.fromkeys(c["row"] for c in chosen))

    def values(row: str, metric: str) -> dict[Any, list[float]]:
        units: dict[Any, list[float]] = {}
        for c in chosen:
            if c["row"] == row:
                for k, scores in enumerate(c["scores"]):
                    unit = c["subject"] if kind == "real" else (c["plane"], c["noise"], k)
                    units.setdefault(unit, []).append(scores[metric])
        return units

    def mean(row: str, metric: str) -> float:
        return float(np.mean([np.mean(v) for v in values(row, metric).values()]))

    lines = [[row, *(round(mean(row, m), 4) for m in METRICS)] for row in names]
    for line in lines:
        line.append(sum(len(c["scores"]) for c in chosen if c["row"] == line[0]))
    head = ["row", *METRICS, "slices"]
    if kind == "real":
        head.append("slice_jump")
        for line in lines:
            found = [j for c in chosen if c["row"] == line[0] for j in c.get("slice_jumps", [np.nan])]
            line.append(round(float(np.mean(found)), 4))
    present = [row for row in BASELINES if row in names]
    if "balanced" in names and present:
        line = ["balanced - best baseline"]
        for metric in METRICS:
            best = (min if metric == "head_hfen" else max)(present, key=lambda row, m=metric: mean(row, m))
            ours, theirs = values("balanced", metric), values(best, metric)
            low, high = interval({u: list(np.subtract(ours[u], theirs[u])) for u in ours})
            line.append(f"{mean('balanced', metric) - mean(best, metric):+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(line + [""] * (len(head) - len(line)))
    return f"\n{kind}, {contrast}\n\n" + record.table(head, lines)


def is_wanted(row: str, texts: list[str] | None) -> bool:
    """Whether a row is to run: those with one of the texts in their name, or all but the published ones."""
    if row == "BM3D (package)" and importlib.util.find_spec("bm3d") is None:
        print(f"{row}: left out, as it is not installed (its licence is for non-commercial use; pip install bm3d)")
        return False
    return "iteration" not in row if texts is None else any(text in row for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Baselines and presets on real and simulated pairs")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    sets = {"real": lambda: pairs.real(args.data), **pairs.SIMULATED}
    parser.add_argument("--sets", nargs="+", choices=sets, default=["real", "simulated"])
    parser.add_argument("--rows", nargs="*", metavar="TEXT", help="only the rows with one of these in their name")
    parser.add_argument("--groups", nargs="*", metavar="TEXT", help="only these planes and noises, 'axial 25' say")
    parser.add_argument("--slices", type=int, metavar="N", help="only the first slices of each group")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "evaluate.json")
    args = parser.parse_args()
    file = json.loads(args.output.read_text()) if args.output.is_file() else {"cells": []}
    groups = [group for name in args.sets for group in sets[name]()]
    if args.groups is not None:
        groups = [g for g in groups if f"{g.name['plane']} {g.name['noise']}" in args.groups]
    groups = [Group(g.name, *(stack[: args.slices] for stack in g[1:])) for g in groups]
    for name, row in rows().items():
        if not is_wanted(name, args.rows):
            continue
        for g in groups:
            start = time.perf_counter()
            images = row(g)
            cell = {"row": name, **g.name, "scores": score(g, images)}
            if g.name["set"] == "real":
                cell["slice_jumps"] = jumps(g, images)
            cell["seconds"] = round(time.perf_counter() - start, 2)
            key = tuple(cell[k] for k in ("row", *g.name))
            file["cells"] = [c for c in file["cells"] if tuple(c[k] for k in ("row", *g.name)) != key] + [cell]
        file["environment"] = record.environment()
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(file) + "\n")
        print(name, flush=True)
    for kind, contrast in dict.fromkeys((c["set"], c["contrast"]) for c in file["cells"]):
        print(summary(file["cells"], kind, contrast))


if __name__ == "__main__":
    main()
