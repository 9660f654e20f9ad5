"""How well an evaluation of the style loss uses the device, and where the preset's time goes."""

import collections
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rnst_jax import api
from rnst_jax.bench import cases, record
from rnst_jax.style import StyleLoss

KEYS = ("batch", "size", "precision", "platform", "device")
HEAD = ("batch", "size", "precision", "GFLOP / evaluation", "ms / evaluation", "GFLOP/s", "peak GFLOP/s", "share")
DEAREST = 10


def measure(settings: Sequence[tuple[int, int, str]], repeats: int = 5) -> Iterator[dict[str, Any]]:
    """Rows of one evaluation of the loss (value and gradient, VGG16), whole images.

    On accelerators ten evaluations are one program, each at the image that a small step from the last gave, as in the
    engine: a single one is so short that starting it would count. FLOP are XLA's count for the CPU in float32, since on
    GPUs it does not see into the convolutions of a library.

    Args:
        settings: (batch, size in pixels, precision) of each row.
        repeats: runs whose median counts.

    Raises:
        RuntimeError: a loss is not finite.
    """
    environment = record.environment()
    in_a_row = 1 if jax.default_backend() == "cpu" else 10
    peaks: dict[str, float] = {}
    for batch, size, precision in settings:
        network, weights = cases.extractor("vgg16", precision)
        flop = batch * flop_per_evaluation(size)
        run = evaluations(network, batch, size, in_a_row)
        record.check_finite("losses", run()[1])
        spent = record.median_seconds(run, repeats) / in_a_row
        peak = peaks.setdefault(precision, record.matrix_peak(cases.PRECISIONS[precision] or jnp.float32))
        yield {
            "batch": batch,
            "size": size,
            "precision": precision,
            "weights": f"vgg16 ({weights})",
            "flop": flop,
            "seconds": round(spent, 6),
            "flop_per_second": round(flop / spent),
            "matrix_peak": round(peak),
            "share": round(flop / spent / peak, 3),
            "evaluations": in_a_row,
            **record.taken_on(environment),
        }


def evaluations(network: Any, batch: int, size: int, count: int) -> Callable[[], Any]:
    """A compiled program without arguments: so many evaluations of a batch, one after the other."""
    loss = StyleLoss()
    images, style = map(jnp.asarray, cases.heads(batch, size))
    targets = jax.vmap(lambda x: loss.targets(network, x, style))(images)

    def run(network, x, targets):
        value_and_grad = jax.vmap(jax.value_and_grad(lambda x, t: loss(network, x, t)))

        def step(x, _):
            losses, gradient = value_and_grad(x, targets)
            return x - 1e-6 * gradient, losses

        return jax.lax.scan(step, x, None, length=count)

    arguments = (network, 0.9 * images, targets)
    compiled = jax.jit(run).lower(*arguments).compile()
    return lambda: compiled(*arguments)


def flop_per_evaluation(size: int) -> float:
    """Of one image, value and gradient, as XLA counts the program for a CPU."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        network, _ = cases.extractor("vgg16")
        loss, image = StyleLoss(), jnp.asarray(cases.head(size))
        targets = jax.eval_shape(loss.targets, network, image, image)
        run = jax.jit(jax.value_and_grad(lambda x, t, net: loss(net, x, t)))
        counts = run.lower(image, targets, network).compile().cost_analysis()
    assert counts is not None, "XLA counts for CPUs"
    return float(counts["flops"])


def dearest(
    size: int, preset: str = "balanced", count: int = DEAREST, trace: pathlib.Path | None = None
) -> list[tuple[str, float, int]]:
    """The operations of one reconstruction that take the most time, by the profiler: name, seconds, calls.

    On a CPU they are XLA's operations, and the times of all threads are added; on a GPU they are its kernels. What
    tells operations of one kind apart, numbers at the end of names and parameters, is dropped and their times added. A
    loop's time holds that of what is in it, so loops and calls are left out.

    Args:
        size: pixels of the generated slice.
        preset: which settings.
        count: how many.
        trace: keep the profile in this folder, for xprof or TensorBoard.
    """
    run = api.compile(**cases.batch(1, size), preset=preset)
    jax.block_until_ready(run())
    with tempfile.TemporaryDirectory() as scratch:
        folder = scratch if trace is None else str(trace)
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        newest = max(pathlib.Path(folder).rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        profile = jax.profiler.ProfileData.from_file(str(newest))
    totals: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for plane in profile.planes:
        for event in (event for line in plane.lines for event in line.events):
            stats = dict(event.stats)
            if "hlo_op" in stats:
                kernel = plane.name.startswith("/device:GPU")
                name = event.name.split("<")[0] if kernel else str(stats["hlo_op"])
                name = name.rstrip("0123456789._").removesuffix(".clone")
                if not name.startswith(("while", "call", "conditional")):
                    totals[name] += event.duration_ns
                    calls[name] += 1
    return [(name, nanoseconds / 1e9, calls[name]) for name, nanoseconds in totals.most_common(count)]


def line(row: dict[str, Any]) -> list[Any]:
    """The cells of `HEAD`."""
    return [
        *(row[key] for key in ("batch", "size", "precision")),
        round(row["flop"] / 1e9, 2),
        round(1e3 * row["seconds"], 2),
        round(row["flop_per_second"] / 1e9, 1),
        round(row["matrix_peak"] / 1e9, 1),
        f"{100 * row['share']:.0f} %",
    ]
