"""The published algorithm to its end on the simulated pairs: 20 outer iterations, 43,200 evaluations of every slice.

    python benchmarks/whole_schedule.py [--sets simulated coarse fields elsewhere] [--preset upstream]
                                        [--planes axial coronal] [--limit SECONDS] [--work DIR] [--output FILE.json]

The slices of a plane, of all noise levels, are one batch; the planes take turns, an iteration each. After every one
the state is written to ``--work``, and a rerun goes on from there; none is begun that would not end within ``--limit``.
Made for a GPU: two CPU cores take 10 minutes for an iteration of two slices.

A row holds the scores of the best iterate so far, by the algorithm's own score, slice by slice, and the means after
every iteration; ``balanced`` and the baselines on the same slices are in the JSON of `evaluate`.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import time
from typing import Any, NamedTuple

import common
import evaluate
import jax
import numpy as np
import pairs

import rnst_jax as rnst
from rnst_jax.bench import record
from rnst_jax.preparation import prepare
from rnst_jax.solvers.drive import State
from rnst_jax.types import Problem

KEYS = ("row", "set", "plane", "noise")
Scores = list[list[dict[str, float]]]
"""Of every slice of every group."""


class Run(NamedTuple):
    """A batch on its way.

    Attributes:
        groups: the pairs in it, one after the other.
        step: compiled; from a state and the number of an iteration to the next state.
        start: the state before the first iteration.
        compile_seconds: of ``step``.
    """

    groups: list[pairs.Group]
    step: Any
    start: State
    compile_seconds: float


def begin(groups: list[pairs.Group], preset: str) -> Run:
    """Prepare and compile the iteration of a batch."""
    y, style, sigma = (np.concatenate([getattr(g, name) for g in groups]) for name in ("y", "style", "sigma"))
    masks = {name: np.concatenate([getattr(g, name) for g in groups]) for name in ("mask", "style_mask")}
    cases, (physics, solver, *_), _ = prepare(y, style, sigma=sigma, preset=preset, **masks)
    problems = jax.vmap(lambda c: Problem(c.y, c.style, c.mask, c.style_mask, physics, c.sigma))(cases)

    def first(problems: Problem) -> State:
        return jax.vmap(lambda p: solver.init(p, p.y))(problems)

    def iteration(problems: Problem, states: State, number: Any) -> State:
        keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(cases.key)
        return jax.vmap(lambda p, s, key: solver.step(p, s, number, key))(problems, states, keys)

    start, began = jax.jit(first)(problems), time.perf_counter()
    compiled = jax.jit(iteration).lower(problems, start, np.int32(0)).compile()
    took = time.perf_counter() - began
    return Run(groups, lambda states, number: compiled(problems, states, np.int32(number)), start, took)


class Progress(NamedTuple):
    """What is kept: the iterate, the best one and its score, and of each iteration the seconds and mean scores."""

    x: np.ndarray
    best: np.ndarray
    score: np.ndarray
    seconds: np.ndarray
    trajectory: np.ndarray

    @classmethod
    def load(cls, path: pathlib.Path, start: State) -> "Progress":
        """From a file, or from the start."""
        if path.is_file():
            with np.load(path) as file:
                return cls(**file)
        x = np.asarray(start.x)
        return cls(x, x, np.asarray(start.score), np.zeros(0), np.zeros((0, len(common.METRICS))))

    def next(self, run: Run) -> "tuple[Progress, Scores]":
        """After one more iteration, and what the best iterate scores then."""
        state = dataclasses.replace(run.start, x=self.x, score=self.score)
        began = time.perf_counter()
        new = jax.block_until_ready(run.step(state, len(self.seconds)))
        seconds = np.append(self.seconds, time.perf_counter() - began)
        x, score = np.asarray(new.x), np.asarray(new.score)
        record.check_finite("images", x)
        better = score < self.score
        best = np.where(better.reshape(-1, *[1] * (x.ndim - 1)), x, self.best)
        found = scores(run, best)
        means = [np.mean([s[m] for each in found for s in each]) for m in common.METRICS]
        trajectory = np.concatenate([self.trajectory, [means]])
        return Progress(x, best, np.where(better, score, self.score), seconds, trajectory), found


def scores(run: Run, images: np.ndarray) -> Scores:
    """The scores of every slice of every group."""
    grey = images[..., 0] if images.ndim == 4 else images
    ends = np.cumsum([len(g.y) for g in run.groups])[:-1]
    return [evaluate.score(g, part) for g, part in zip(run.groups, np.split(grey, ends), strict=True)]


def rows(run: Run, progress: Progress, found: Scores, preset: str, environment: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each group."""
    shared = {
        "iterations": len(progress.seconds),
        "batch": len(progress.x),
        "compile_seconds": round(run.compile_seconds, 2),
        "seconds": round(float(progress.seconds.sum()), 1),
        "trajectory": [dict(zip(common.METRICS, line.round(4).tolist(), strict=True)) for line in progress.trajectory],
        "weights": "vgg16 (ImageNet)",
    }
    shared |= record.taken_on(environment)
    return [{"row": preset, **g.name, "scores": s, **shared} for g, s in zip(run.groups, found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The published algorithm to its end on the simulated pairs")
    parser.add_argument("--sets", nargs="+", choices=pairs.SIMULATED, default=["simulated"])
    parser.add_argument("--preset", choices=("upstream", "paper"), default="upstream")
    parser.add_argument("--planes", nargs="+", choices=sorted(pairs.PLANES), default=list(pairs.PLANES))
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds; compiling counts")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("whole_schedule_work"))
    parser.add_argument("--output", type=pathlib.Path, default=common.RESULTS / "whole_schedule.json")
    args = parser.parse_args()
    began, environment = time.perf_counter(), record.environment()
    groups = [g for name in args.sets for g in pairs.SIMULATED[name]() if g.name["plane"] in args.planes]
    batches = dict.fromkeys((g.name["set"], g.name["plane"]) for g in groups)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        together = [[g for g in groups if (g.name["set"], g.name["plane"]) == batch] for batch in batches]
        runs = dict(zip(batches, pool.map(lambda each: begin(each, args.preset), together), strict=True))
    print(f"compiled: {[round(run.compile_seconds) for run in runs.values()]} s", flush=True)
    args.work.mkdir(parents=True, exist_ok=True)
    for number in range(rnst.presets.get(args.preset).steps):
        for (kind, plane), run in runs.items():
            saved = args.work / f"{args.preset}_{kind.replace(' ', '_')}_{plane}.npz"
            progress = Progress.load(saved, run.start)
            spent = progress.seconds[-1] if len(progress.seconds) else 0.0
            if len(progress.seconds) > number or time.perf_counter() - began + 1.2 * spent > args.limit:
                continue
            progress, found = progress.next(run)
            np.savez_compressed(saved, **progress._asdict())
            for row in rows(run, progress, found, args.preset, environment):
                record.append(args.output, row, KEYS)
            means = dict(zip(common.METRICS, progress.trajectory[-1].round(4).tolist(), strict=True))
            print(kind, plane, len(progress.seconds), round(progress.seconds[-1], 1), json.dumps(means), flush=True)


if __name__ == "__main__":
    main()
