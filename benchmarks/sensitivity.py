"""How much the default's result depends on its settings and on the choice of the style.

    python benchmarks/sensitivity.py [--preset balanced] [--rows TEXT ...] [--output FILE]

Real pairs (sub-01 to sub-03, T1w and T2w, 4 slices each). Rows: each number times 0.5 and times 2 (of the gains,
what they exceed 1 by), and other styles: another subject, another slice (their order turned round), the other contrast;
and of the simulated pairs (`pairs`, T1w) a style in another plane. Scores as in `evaluate`: means over the 12 slices of
a contrast, or the 30 simulated ones, and the change against the preset as it is.

``--rows`` runs those with one of these texts in their name and keeps the others of the file: an hour's work in parts.
A compilation cache (JAX_COMPILATION_CACHE_DIR) saves most of the time: all rows but the first run the same programs.
"""

import argparse
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable

import common
import evaluate
import numpy as np
import pairs

import rnst_jax as rnst
from rnst_jax.bench import record

FACTORS = (0.5, 2.0)
NUMBERS = ("mu", "beta", "lam", "style_weight", "intensity_weight", "fine", "beyond", "whitening")
OVER_ONE = ("rim_gain", "brain_darkening")
Groups = Callable[[], list[pairs.Group]]
OTHERS = {"sub-01": "sub-02", "sub-02": "sub-01", "sub-03": "sub-01"}
"""Style subjects other than those of the default pairs."""


def variants(config: rnst.presets.Config) -> dict[str, rnst.presets.Config]:
    """The config with one number changed at a time."""
    found = {}
    for factor in FACTORS:
        for name in NUMBERS:
            found[f"{name} x {factor:g}"] = dataclasses.replace(config, **{name: factor * getattr(config, name)})
        for name in OVER_ONE:
            changed = 1 + factor * (getattr(config, name) - 1)
            found[f"{name} - 1, x {factor:g}"] = dataclasses.replace(config, **{name: changed})
    return found


def styles(data: pathlib.Path, as_is: list[pairs.Group]) -> dict[str, Groups]:
    """The real pairs with other styles, and the simulated ones; made when they are called for."""
    other_contrast = {"T1w": "T2w", "T2w": "T1w"}
    return {
        "style: another subject": lambda: pairs.real(data, OTHERS),
        "style: other slices": lambda: [g._replace(style=g.style[::-1], style_mask=g.style_mask[::-1]) for g in as_is],
        "style: the other contrast": lambda: pairs.real(data, style_contrasts=other_contrast),
        "simulated": pairs.simulated,
        "simulated, style: another plane": lambda: pairs.simulated(other_plane=True),
    }


def means(groups: list[pairs.Group], config: rnst.presets.Config) -> dict[str, dict[str, float]]:
    """Mean scores per contrast."""
    cells: dict[str, list[dict[str, float]]] = {}
    for g in groups:
        cells.setdefault(g.name["contrast"], []).extend(evaluate.score(g, evaluate.preset(config)(g)))
    return {
        contrast: {m: round(float(np.mean([s[m] for s in scores])), 4) for m in common.METRICS}
        for contrast, scores in cells.items()
    }


def measure(
    cases: dict[str, tuple[Groups, rnst.presets.Config]],
    wanted: list[str] | None,
    output: pathlib.Path,
    preset: str,
) -> dict[str, dict[str, dict[str, float]]]:
    """Run the cases with a wanted text in their name, one row of the JSON each; the means of all rows in it."""
    for name, (groups, config) in cases.items():
        if wanted is not None and not any(text in name for text in wanted):
            continue
        start = time.perf_counter()
        row = {"row": name, "preset": preset, "scores": means(groups(), config)}
        row |= {"seconds": round(time.perf_counter() - start, 1), "environment": record.environment()}
        print(name, row["scores"], flush=True)
        record.append(output, row, ("row", "preset"))
    found = json.loads(output.read_text())["rows"]
    return {row["row"]: row["scores"] for row in found if row["preset"] == preset}


def main() -> None:
    parser = argparse.ArgumentParser(description="Sensitivity of a preset to its settings and to the style")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--rows", nargs="*", metavar="TEXT", help="only the rows with one of these in their name")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "sensitivity.json")
    args = parser.parse_args()
    config, groups = rnst.presets.get(args.preset), pairs.real(args.data)
    cases = {name: (lambda: groups, changed) for name, changed in ({"as it is": config} | variants(config)).items()}
    cases |= {name: (other, config) for name, other in styles(args.data, groups).items()}
    scores = measure(cases, args.rows, args.output, args.preset)
    lines = []
    for name in [name for name in cases if name in scores]:
        line = [name]
        base = scores["simulated" if name.startswith("simulated") else "as it is"]
        for contrast in ("T1w", "T2w"):
            for metric in ("head_psnr", "head_ssim"):
                known = contrast in scores[name]
                line.append(f"{scores[name][contrast][metric] - base[contrast][metric]:+.4f}" if known else "")
        lines.append(line)
    print(record.table(("row", "T1w head_psnr", "T1w head_ssim", "T2w head_psnr", "T2w head_ssim"), lines))


if __name__ == "__main__":
    main()
