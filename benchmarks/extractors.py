"""What does each of the nine extractors do to score and time? The preset ``balanced`` on four real slices.

    python benchmarks/extractors.py [--only TEXT] [--weights NAME=FILE.safetensors ...]

The slices: number 1 of the 0.055 T scans in `SCANS` at 128 x 128, style from another patient, on the box that holds
all their heads; the loss works at half of that size, as the preset says. Scores are means over the slices,
against the registered 3 T slice inside the head (head) and over the whole slice (minmax).

Weights: only VGG16's come with the package (ImageNet, cut at conv4_1). The other networks get random ones, which the
table says: kernels that keep the scale of the features, random batch-norm statistics, seeded, converted like any
state dict. They show that a network runs, what it costs, and how far the result depends on trained features at all.
They do not show how good the trained network is. ``--weights`` takes a converted file for a row instead.

The control rows: the slice as it came, the preset without style and change of rim, and the preset without Gram term.
Times are medians over the slices, on each of which all rows take turns; they cover all that the preset does, denoiser
included. The processor's time, over all threads, is given beside the clock's: other work on the machine changes it
less.
"""

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import jax
import numpy as np
from evaluate import NO_STYLE
from safetensors.numpy import save_file

import rnst_jax as rnst
from rnst_jax import api
from rnst_jax.bench import record
from rnst_jax.features import MODELS, Extractor, weights
from rnst_jax.features.catalogue import Model
from rnst_jax.features.convert import convert
from rnst_jax.mask import bounding_box

SIZE, SLICE = 128, 1
SCANS = (("sub-01", "T1w"), ("sub-02", "T2w"), ("sub-03", "T1w"), ("sub-03", "T2w"))
IMAGENET = "ImageNet"
RANDOM = "random"
SCORES = ("head_psnr", "head_ssim", "head_hfen", "minmax_psnr", "minmax_ssim")


class Row(NamedTuple):
    """One line of the table: an extractor, and what is changed in its config."""

    label: str
    name: str
    weights: str
    changes: dict[str, Any]


ROWS = [
    Row("vgg16", "vgg16", IMAGENET, {}),
    Row("vgg16, style weight 0", "vgg16", IMAGENET, {"style_weight": 0.0}),
    *(Row(name, name, RANDOM, {}) for name in MODELS),
    *(Row(f"{name}, no smoothing", name, RANDOM, {"softmax": False}) for name in ("resnet18", "resnet50")),
]


def random_state(model: Model) -> dict[str, np.ndarray]:
    """A seeded state dict. A block's last norm is small: at full size features would double from block to block."""
    last = {conv.norm for conv in model.convolutions if conv.layer.endswith(".conv3" if model.bottleneck else ".conv2")}
    state = {}
    for name, shape in model.state_dict_shapes().items():
        rng = np.random.default_rng(zlib.crc32(f"{model.name}/{name}".encode()))
        if len(shape) == 4:
            state[name] = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif name.endswith(".running_var"):
            state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif name.endswith(".weight"):
            state[name] = (rng.uniform(0.5, 1.5, shape) * (0.2 if name[:-7] in last else 1)).astype(np.float32)
        else:
            state[name] = rng.uniform(-0.2, 0.2, shape).astype(np.float32)
    return state


def load(row: Row, files: dict[str, pathlib.Path], folder: pathlib.Path) -> tuple[Extractor, str]:
    """The extractor of a row with the layers that its taps need, and which weights it has."""
    taps = config_of(row).style_taps
    if row.weights == IMAGENET:
        return rnst.features.load(row.name, taps=taps), IMAGENET
    if row.name in files:
        path = files[row.name]
        beside = path.with_suffix(".json")
        entry = weights.entries(beside).get(row.name, {}) if beside.is_file() else {}
        return rnst.features.load(row.name, path, taps=taps), f"{path.name}: {entry.get('training', 'unknown')}"
    path = folder / f"{row.name}.safetensors"
    if not path.is_file():
        save_file(random_state(MODELS[row.name]), source := folder / "source.safetensors")
        convert(row.name, source, path, training="none, random numbers")
        source.unlink()
    return rnst.features.load(row.name, path, taps=taps), RANDOM


def config_of(row: Row) -> rnst.presets.Config:
    """The preset for the extractor of a row, with the row's changes."""
    adapted = rnst.presets.for_extractor(rnst.presets.get("balanced"), row.name)
    return dataclasses.replace(adapted, **row.changes)


class Case(NamedTuple):
    """The slices, on one box for all of them and another for all styles, so that one program serves all."""

    pairs: list[common.Pair]
    box: tuple[slice, slice]
    arguments: list[dict[str, np.ndarray]]

    def scores(self, images: list[Any]) -> dict[str, float]:
        """Mean scores of images on the box, air around it."""
        whole = np.zeros((len(images), SIZE, SIZE), np.float32)
        whole[:, *self.box] = images
        found = [pair.scores(image) for pair, image in zip(self.pairs, whole, strict=True)]
        return {score: round(float(np.mean([f[score] for f in found])), 4) for score in SCORES}


def load_case(data: pathlib.Path) -> Case:
    """The slices and their boxes."""
    pairs = [common.load_pair(subject, contrast, SLICE, SIZE, data) for subject, contrast in SCANS]
    box, style_box = (bounding_box(np.stack([getattr(p, f) for p in pairs]) > 0) for f in ("mask", "style_mask"))
    boxes = {"y": box, "mask": box, "style": style_box, "style_mask": style_box}
    arguments = [{name: getattr(pair, name)[None, *where] for name, where in boxes.items()} for pair in pairs]
    return Case(pairs, box, arguments)


def compile_all(case: Case, config: rnst.presets.Config, extractor: Extractor) -> list[Callable[[], Any]]:
    """A function per slice; the program is compiled once."""
    return [api.compile(**arguments, preset=config, extractor=extractor) for arguments in case.arguments]


def clocked(function: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What a function returns; seconds of the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    found = function()
    return found, (time.perf_counter() - start[0], time.process_time() - start[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="The nine extractors: score and time on real slices")
    parser.add_argument("--data", type=pathlib.Path, default=common.DATA)
    parser.add_argument("--only", default="", metavar="TEXT", help="only the rows whose label holds this")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE", help="a converted file")
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "extractors.json")
    args = parser.parse_args()
    files = {name: pathlib.Path(file) for name, _, file in (text.partition("=") for text in args.weights)}
    if unknown := sorted(set(files) - set(MODELS)):
        parser.error(f"--weights: no extractor {', '.join(unknown)}; there are {', '.join(MODELS)}")

    case = load_case(args.data)
    bare = dataclasses.replace(rnst.presets.get("balanced"), **NO_STYLE)
    rows: list[dict[str, Any]] = [
        {"row": "input", "weights": "none"} | case.scores([a["y"][0] for a in case.arguments]),
        {"row": "RED without style", "weights": "none"}
        | case.scores([run().image[0] for run in compile_all(case, bare, rnst.features.load("vgg16"))]),
    ]
    runs, compiling = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for row in (row for row in ROWS if args.only in row.label):
            config = config_of(row)
            extractor, used = load(row, files, pathlib.Path(folder))
            compiled, taken = clocked(lambda c=config, e=extractor: compile_all(case, c, e))
            # JAX keeps compiled programs: rows that differ in numbers only share one
            taken = compiling.setdefault((row.name, config.softmax), taken)
            runs.append(compiled)
            line = {"row": row.label, "weights": used, "extractor": row.name, "softmax": config.softmax}
            rows.append(
                line
                | {
                    "style_weight": config.style_weight,
                    "compile_seconds": round(taken[0], 2),
                    "compile_cpu_seconds": round(taken[1], 2),
                }
            )
            print(f"{row.label} ({used}): compiled in {taken[0]:.1f} s, {taken[1]:.1f} s of the processor", flush=True)
    images: list[list[np.ndarray]] = [[] for _ in runs]
    spent: list[list[np.ndarray]] = [[] for _ in runs]
    for n in range(len(case.pairs)):
        for run, found, times in zip(runs, images, spent, strict=True):
            result, taken = clocked(lambda run=run[n]: jax.block_until_ready(run()))
            times.append(np.array(taken) / int(result.evaluations[0]))
            found.append(np.asarray(result.image[0]))
        print(f"slice {n + 1} of {len(case.pairs)}", flush=True)
    for row, found, times in zip(rows[2:], images, spent, strict=True):
        assert np.isfinite(found).all(), row["row"]
        clock, processor = np.median(times, 0)
        row |= case.scores(found) | {"seconds_per_evaluation": round(float(clock), 5)}
        row |= {"cpu_seconds_per_evaluation": round(float(processor), 5)}

    setting = {
        "preset": "balanced",
        "slices": len(case.pairs),
        "size": SIZE,
        "scans": [" ".join(scan) for scan in SCANS],
        "box": case.arguments[0]["y"].shape[1:],
    }
    result = {"setting": setting, "environment": record.environment(), "rows": rows}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    times = ("seconds_per_evaluation", "cpu_seconds_per_evaluation", "compile_seconds", "compile_cpu_seconds")
    head = ("row", "weights", *SCORES, *times)
    print("\n" + record.table(head, [[row.get(key, "") for key in head] for row in rows]))


if __name__ == "__main__":
    main()
