"""Noise level and plane: tables and a figure from what `evaluate` has measured on the simulated pairs.

    python benchmarks/noise_study.py [--input benchmarks/results/evaluate.json]

Prints mean PSNR and SSIM in the head per plane and noise level, and on how many slices a row is below the input;
writes docs/figures/noise_study.png. Nothing is computed anew: run ``python benchmarks/evaluate.py --sets
simulated`` first; ``upstream`` comes from the JSON of `whole_schedule` beside it.
"""

import argparse
import json
import pathlib

import common
import numpy as np
from matplotlib.figure import Figure

from rnst_jax.bench import record

ROWS = ("input", "NLM", "BM3D (package)", "upstream", "fast", "balanced")
METRICS = {"head_psnr": "PSNR (dB)", "head_ssim": "SSIM"}


def simulated(cells: list[dict]) -> dict[tuple[str, str, int], list[dict]]:
    """The scores of each slice by row, plane and noise."""
    return {(c["row"], c["plane"], c["noise"]): c["scores"] for c in cells if c["set"] == "simulated"}


def levels(found: dict[tuple[str, str, int], list[dict]]) -> tuple[list[str], list[str], list[int]]:
    """The rows that were measured, the planes and the noise levels."""
    rows = [row for row in ROWS if any(key[0] == row for key in found)]
    return rows, sorted({key[1] for key in found}), sorted({key[2] for key in found})


def mean(scores: list[dict], metric: str) -> float:
    return float(np.mean([s[metric] for s in scores]))


def table(found: dict[tuple[str, str, int], list[dict]]) -> str:
    """PSNR / SSIM per plane and noise level, and the slices below the input."""
    rows, planes, noises = levels(found)
    lines = []
    for plane in planes:
        for noise in noises:
            line = [plane, str(noise)]
            for row in rows:
                scores = found[row, plane, noise]
                line.append(f"{mean(scores, 'head_psnr'):.2f} / {mean(scores, 'head_ssim'):.3f}")
            lines.append(line)
    below = ["slices below the input", ""]
    for row in rows:
        counts = []
        for metric in METRICS:
            pairs = (
                (s[metric], i[metric])
                for (name, plane, noise), scores in found.items()
                if name == row
                for s, i in zip(scores, found["input", plane, noise], strict=True)
            )
            counts.append(str(sum(ours < given for ours, given in pairs)))
        below.append(" / ".join(counts))
    return record.table(("plane", "noise of 255", *rows), [*lines, below])


def figure(found: dict[tuple[str, str, int], list[dict]]) -> Figure:
    """One panel per metric and plane: the score against the noise, a line per row."""
    rows, planes, noises = levels(found)
    drawn = Figure(figsize=(3.6 * len(planes), 6), layout="constrained")
    panels = drawn.subplots(len(METRICS), len(planes), sharex=True, sharey="row", squeeze=False)
    for (metric, label), line in zip(METRICS.items(), panels, strict=True):
        for plane, panel in zip(planes, line, strict=True):
            for row in rows:
                panel.plot(noises, [mean(found[row, plane, n], metric) for n in noises], marker="o", label=row)
            panel.set_title(plane)
            panel.grid(alpha=0.3)
        line[0].set_ylabel(f"{label} in the head")
    for panel in panels[-1]:
        panel.set_xlabel("noise, standard deviation of 255")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rows))
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables and a figure of the simulated pairs by noise and plane")
    parser.add_argument("--input", type=pathlib.Path, default=common.RESULTS / "evaluate.json")
    args = parser.parse_args()
    found = simulated(json.loads(args.input.read_text())["cells"])
    published = args.input.with_name("whole_schedule.json")
    if published.is_file():
        found |= simulated(json.loads(published.read_text())["rows"])
    print(table(found))
    figure(found).savefig(common.FIGURES / "noise_study.png", dpi=100)


if __name__ == "__main__":
    main()
