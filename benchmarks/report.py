"""The tables and plots of the speed benchmarks, made from their JSON.

    python benchmarks/report.py [--results benchmarks/results] [--output docs/speed_tables.md]

Reads throughput.json, scaling.json, profile.json, time_to_quality.json, accelerator.json, batch_evaluation.json and
race.json, as far as they are there; writes the tables, and ``time_to_quality.png`` and ``scaling.png`` in ``figures/``
beside it. Nothing is measured here.
"""

import argparse
import json
import pathlib
from typing import Any

import common
from matplotlib.figure import Figure

from rnst_jax.bench import record, suite

Rows = list[dict[str, Any]]
POINTS = ("evaluations", "seconds", "loss", "minmax_psnr", "minmax_ssim", "head_psnr", "head_ssim", "head_hfen")


def load(folder: pathlib.Path, name: str) -> Rows:
    """The rows of a benchmark, none if it was not run."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def machines(rows: Rows) -> str:
    """Which machines the rows come from."""
    found = {}
    names = ("environment", "environment_of_ours")
    for environment in (row[name] for row in rows for name in names if name in row):
        text = "{device} ({platform}, {devices} device(s), {cores} cores), jax {jax}, {date}".format(**environment)
        found[text] = None
    return "; ".join(found)


def speed(name: str, rows: Rows) -> str:
    """The tables of one of the suite's benchmarks, one for each device."""
    parts = [f"## {name}\n"]
    for device in dict.fromkeys(row["device"] for row in rows):
        own = [row for row in rows if row["device"] == device]
        parts.append(f"Machine: {machines(own)}.\n\n{suite.table(name, own)}\n")
    return "\n".join(parts)


def title(row: dict[str, Any]) -> str:
    where = "" if row["platform"] == "cpu" else f", {row['environment']['device']}"
    return f"{row['subject']} {row['contrast']}, slice {row['slice']}, {row['size']} x {row['size']}{where}"


def accelerator(rows: Rows) -> str:
    """Whole reconstructions of an accelerator against the CPU's."""
    lines = []
    for row in rows:
        loss = max(row["loss_ratios"], key=lambda ratio: abs(ratio - 1))
        names = ("what", "compile_seconds", "run_seconds", "rms_difference", "ssim_least")
        scores = (row["scores"][metric] for metric in ("head_psnr", "head_ssim"))
        lines.append([row["device"], *(row[name] for name in names), loss, *scores])
    head = ("machine", "network", "compile s", "run s", "RMS difference", "least SSIM", "loss / CPU's")
    head = (*head, "head_psnr", "head_ssim")
    return (
        f"## an accelerator against the CPU\n\nMachine: {machines(rows)}. `balanced` on {rows[0]['images']} slices of "
        f"0.055 T in one batch; differences from the images of the CPU in float32, the loss that is furthest from "
        f"theirs, and mean scores (`benchmarks/accelerator.py`).\n\n{record.table(head, lines)}\n"
    )


def trajectories(rows: Rows) -> str:
    """The ends of both algorithms, and what each evaluation takes."""
    lines = []
    for row in rows:
        ends = {}
        if published := row.get("published"):
            ends["input"] = published[0]
            ends[f"published, {row['iterations']} of 20 iterations"] = published[-1]
        for stage in dict.fromkeys(point["stage"] for point in row["ours"]):
            ends[f"ours, {stage}"] = [point for point in row["ours"] if point["stage"] == stage][-1]
        lines += [[title(row), name, *(point[key] for key in POINTS)] for name, point in ends.items()]
    each = [[title(row), *(f"{1e3 * value:.3g}" for value in row["seconds_per_evaluation"].values())] for row in rows]
    return (
        f"## time to quality\n\nMachine: {machines(rows)}.\n\n"
        f"{record.table(('slice', 'algorithm', *POINTS), lines)}\n\n"
        f"Milliseconds per evaluation of the published loss, the three taking turns:\n\n"
        f"{record.table(('slice', *rows[0]['seconds_per_evaluation']), each)}\n"
    )


def race(rows: Rows) -> str:
    """The losses of both engines."""
    names = ("evaluations", "size", "published_loss", "ours_at_n_over_10", "ours_at_n_over_5")
    lines = [[row[name] for name in names] for row in rows]
    return (
        f"## engine against engine\n\nMachine: {machines(rows)}. The published loss after N evaluations of the "
        f"published engine, and after a tenth and a fifth of them of ours (`benchmarks/race.py`).\n\n"
        f"{record.table(('N', 'side', 'published, N', 'ours, N / 10', 'ours, N / 5'), lines)}\n"
    )


def batch_evaluation(rows: Rows) -> str:
    """One evaluation of a batch in both libraries."""
    lines = []
    for row in rows:
        published = row["seconds"]["published"]
        each = [f"{1e3 * spent:.2f} ({published / spent:.1f} x)" for spent in row["seconds"].values()]
        lines.append([row["batch"], row["size"], row["precision"], *each, f"{row['loss_difference']:.0e}"])
    head = ("batch", "side", "precision", *rows[0]["seconds"], "losses differ by")
    return (
        f"## a batch against PyTorch\n\nMachine: {machines(rows)}. Milliseconds per evaluation of the batch, and how "
        f"many times PyTorch's speed that is (`channels_last`, `torch.compile`; `benchmarks/batch_evaluation.py`).\n\n"
        f"{record.table(head, lines)}\n"
    )


def plot_trajectories(rows: Rows, path: pathlib.Path) -> None:
    """Score and SSIM in the head against evaluations, both algorithms, one column per slice."""
    figure = Figure(figsize=(3.2 * len(rows), 5.2), layout="constrained")
    axes = figure.subplots(2, len(rows), squeeze=False)
    for column, row in enumerate(rows):
        for line, (metric, label) in enumerate((("head_psnr", "PSNR in the head (dB)"), ("head_ssim", "SSIM in it"))):
            ax = axes[line, column]
            ends = [point for point in row["published"] if point["stage"] != "stylised"]
            ax.plot([max(p["evaluations"], 1) for p in ends], [p[metric] for p in ends], "o-", ms=3, label="published")
            ours = [point for point in row["ours"] if point["stage"] == "balanced"]
            ax.plot([p["evaluations"] for p in ours], [p[metric] for p in ours], "s-", ms=3, label="balanced")
            ax.set(xscale="log", xlabel="evaluations", ylabel=label)
        axes[0, column].set_title(title(row).replace(", slice", "\nslice"), fontsize=8)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def plot_scaling(rows: Rows, path: pathlib.Path) -> None:
    """Relative cost per pixel, slice and device."""
    axes_names = [axis for axis in ("pixels", "slices", "devices") if any(row["axis"] == axis for row in rows)]
    figure = Figure(figsize=(3.4 * len(axes_names), 3), layout="constrained")
    for ax, axis in zip(figure.subplots(1, len(axes_names), squeeze=False)[0], axes_names, strict=True):
        chosen = [row for row in rows if row["axis"] == axis]
        ax.bar([row["value"].replace(", ", "\n") for row in chosen], [row["relative_cost_per_unit"] for row in chosen])
        ax.axhline(1, color="grey", lw=0.8)
        ax.set(title=axis, ylabel="relative cost")
        ax.tick_params(axis="x", labelsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables and plots of the speed benchmarks from their JSON")
    parser.add_argument("--results", type=pathlib.Path, default=common.RESULTS)
    parser.add_argument("--output", type=pathlib.Path, default=common.ROOT / "docs" / "speed_tables.md")
    args = parser.parse_args()
    figures = args.output.parent / "figures"
    figures.mkdir(exist_ok=True)
    parts = ["# Speed\n\nMade by `python benchmarks/report.py` from the JSON in `benchmarks/results`.\n"]
    for name in suite.BENCHMARKS:
        if rows := load(args.results, name):
            parts.append(speed(name, rows))
    if rows := load(args.results, "scaling"):
        plot_scaling(rows, figures / "scaling.png")
        parts.append("![cost against size](figures/scaling.png)\n")
    if rows := load(args.results, "time_to_quality"):
        parts.append(trajectories(rows))
        if run_to_compare := [row for row in rows if row.get("published")]:
            plot_trajectories(run_to_compare, figures / "time_to_quality.png")
            parts.append("![scores against evaluations](figures/time_to_quality.png)\n")
    if rows := load(args.results, "accelerator"):
        parts.append(accelerator(rows))
    if rows := load(args.results, "batch_evaluation"):
        parts.append(batch_evaluation(rows))
    if rows := load(args.results, "race"):
        parts.append(race(rows))
    args.output.write_text("\n".join(parts))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
