"""The front door: `solve` one problem, `reconstruct` a batch."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnst_jax import compiling, scalp
from rnst_jax.preparation import Cases, prepare
from rnst_jax.presets import Config
from rnst_jax.solvers import Solver, drive
from rnst_jax.style.highlights import hold_highlights, spread_highlights
from rnst_jax.types import Batch, PRNGKey, Problem, Result, Scalar


def solve(
    problem: Problem,
    solver: Solver,
    x0: Array | None = None,
    *,
    max_steps: int = 20,
    tol: Scalar | None = None,
    key: PRNGKey | None = None,
) -> Result:
    """Solve one problem: a pure function without jit, to be composed under your own jit, vmap and grad.

    Args:
        problem: the measurement, style, masks, physics and noise level.
        solver: for example `rnst_jax.solvers.Rnst`.
        x0: where to start; A^H y by default.
        max_steps: outer iterations (static).
        tol: stop when the solver's error falls to it; without one all steps are taken.
        key: random numbers; ``jax.random.key(0)`` by default.

    Returns:
        The image (H, W), in [0, 1] if the solver keeps it there, how the run ended, and its trace.
    """
    start = problem.physics.adjoint(problem.y) if x0 is None else x0
    key = jax.random.key(0) if key is None else key
    return drive(problem, solver, start, max_steps, key, tol)


def planned_evaluations(config: Config) -> int:
    """Evaluations of the style loss that one image costs at most.

    Examples:
        >>> import rnst_jax as rnst
        >>> planned_evaluations(rnst.presets.get("upstream"))
        43200
    """
    per_step = sum(config.depths) + config.candidates * len(config.depths) * config.refine
    return config.steps * per_step


def compile(y: Array | np.ndarray, style: Batch | np.ndarray, **options: Any) -> Callable[[], Result]:
    """Prepare and compile what `reconstruct` runs; takes the same arguments and returns a function without any.

    So that compile time and run time can be told apart: ``run = compile(y, style)``, then ``run()``.
    """
    found = prepare(y, style, **options)
    compiled = compile_batch(found.batch, *found.shared, **found.sizes)
    return functools.partial(compiled, found.batch, *found.shared)


class Parts(NamedTuple):
    """A compiled reconstruction of a batch that is run part by part.

    Attributes:
        count: number of parts.
        run: from the number of a part, from 0, to its result; all have ``chunk`` images, but for the last.
    """

    count: int
    run: Callable[[int], Result]


def compile_parts(y: Array | np.ndarray, style: Batch | np.ndarray, **options: Any) -> Parts:
    """As `compile`, for those who want to keep each ``chunk`` images as soon as they are solved.

    One program serves all parts, and all batches of images of this size: the last part is filled up with copies of its
    last image, which are dropped again.
    """
    found = prepare(y, style, **options)
    total, size = len(found.batch.sigma), found.sizes["chunk"]

    def part(number: int) -> Cases:
        return filled(found.batch, number * size, (number + 1) * size)

    compiled = compile_batch(part(0), *found.shared, **found.sizes)

    def run(number: int) -> Result:
        result = compiled(part(number), *found.shared)
        return jax.tree.map(lambda leaf: leaf[: total - number * size], result)

    return Parts(-(-total // size), run)


def reconstruct(y: Array | np.ndarray, style: Batch | np.ndarray, **options: Any) -> Result:
    """Reconstruct a batch of low-field images in the look of high-field style images.

    Every image is solved on its own: a result never depends on the others in the batch, but for what is found from all
    of them: ``native = 0`` of the preset becomes 1 where the noise of most images is white, else the median of their
    `rnst_jax.denoise.zero_filling`, or 2 if that cannot tell; ``whitening`` finds the scanner's filter in all of them.
    And ``margin``, ``rim_gain``, ``brain_darkening`` and ``bias_correction`` apply if ``whole_heads``, else
    ``endpoints``, ``dark_tail`` and ``strictness``; ``highlights`` are spread in the first case, else held back.

    Args:
        y: (B, H, W) low-field images in [0, 1], air at 0; or measurements with a leading batch axis, with ``physics``.
        style: (B, h, w) high-field images of somebody else in [0, 1], air at 0, with the pixel size of ``y``;
            or (1, h, w) for one style for all.
        physics: the forward model A; the identity by default.
        physics_axis: None where the batch shares ``physics``; 0 where each of its leaves has a leading batch axis:
            masks and coil maps that differ from image to image.
        preset: a name of `rnst_jax.presets.names`, whose taps are then those of the extractor's defaults; or a
            `rnst_jax.presets.Config`, taken as it is.
        extractor: of `rnst_jax.features.load`; the packaged VGG16 by default.
        mask: (B, H, W), 1 inside the head; found by `rnst_jax.mask.head_mask` by default.
        style_mask: the same for the style.
        whole_heads: whether the styles are heads with their scalp; by default `rnst_jax.scalp.whole_heads` tells.
        rim: (B, H, W) weights in [0, 1] of the head's rim, for the preset's ``rim_gain`` and ``brain_darkening``; by
            default `rnst_jax.scalp.rim_weight` of the head if ``whole_heads``, else 0. Zeros if y shows brains.
        field: (B, H, W) or (1, H, W), the receive field, above 0, that images are divided by; by default
            `rnst_jax.bias.receive_field` of each image alone, for the preset's ``bias_correction`` if ``whole_heads``.
            Give that of all slices of a scan where they are of one: it is steadier. Ones leave the images as they are.
        edges: what the scanner's filter left at the edge of k-space along rows and columns, for the preset's
            ``whitening``; by default `rnst_jax.denoise.filter_edges` of all images, and ``sharpening`` instead if that
            cannot tell.
        sigma: standard deviation of the noise in units of y, a number or one per image; by default
            `rnst_jax.denoise.estimate_noise`.
        x0: (B, H, W) where to start; A^H y by default.
        tol: an image stops when its relative change per iteration falls to this; by default all steps are taken.
        chunk: images that are solved at the same time; by default as many as fit into 2 GiB, or into a quarter of an
            accelerator's memory if that is more.
        key: random numbers; ``jax.random.key(0)`` by default.
        progress: called as ``progress(evaluations, loss)`` from the running computation, from any thread.

    Returns:
        A `Result` with a leading batch axis; images in [0, 1], the rim up to ``rim_gain`` and highlights above; air at
        0 where the preset is masked.

    Raises:
        ValueError: a shape or a setting does not fit, a head cannot be found, there are a field and a forward model, or
            the images of a chunk would take more memory than the device has.

    Examples:
        >>> import dataclasses, numpy as np, rnst_jax as rnst
        >>> rows, cols = np.mgrid[-24:24, -24:24]
        >>> head = (np.hypot(rows, cols) < 18) * (0.6 + 0.2 * np.cos(rows / 3))
        >>> noisy = head + 0.05 * np.random.default_rng(0).normal(size=head.shape)
        >>> preset = dataclasses.replace(rnst.presets.get("fast"), denoiser="nlm")
        >>> result = rnst.reconstruct(noisy[None], head.T[None], preset=preset)
        >>> result.image.shape, int(result.evaluations[0])
        ((1, 48, 48), 24)
    """
    return compile(y, style, **options)()


def solve_batch(
    batch: Cases,
    physics: Any,
    solver: Any,
    tol: Scalar | None,
    change: tuple[Scalar, Scalar, Scalar],
    *,
    max_steps: int,
    chunk: int,
) -> Result:
    """Solve what `prepare` has made, ``chunk`` images at a time; without jit, as `solve`."""

    def one(case: Cases) -> Result:
        own = physics if case.physics is None else case.physics
        problem = Problem(case.y, case.style, case.mask, case.style_mask, own, case.sigma)
        result = solve(problem, solver, case.x0, max_steps=max_steps, tol=tol, key=case.key)
        if case.region is None:
            return result
        # a denoiser may undershoot 0 at an edge
        *at_the_rim, share = change
        image = case.region * scalp.to_high_field(jnp.clip(result.image, 0, 1), case.rim, *at_the_rim)
        if case.limit is None:
            share *= jnp.any(case.rim > 0)
            image = spread_highlights(image, case.mask, case.style, case.style_mask, share)
        else:
            image = hold_highlights(image, case.mask, case.limit, share)
        return dataclasses.replace(result, image=image)

    total = len(batch.sigma)
    if chunk == total:
        return jax.vmap(one)(batch)
    if total % chunk:  # a smaller last part would be a second program
        batch = filled(batch, 0, -(-total // chunk) * chunk)
    return jax.tree.map(lambda leaf: leaf[:total], jax.lax.map(one, batch, batch_size=chunk))


compile_batch = compiling.compiler(solve_batch, ("max_steps", "chunk"))
"""From the arguments of `solve_batch` to the program that solves batches of these sizes."""


def filled(batch: Cases, start: int, stop: int) -> Cases:
    """The images from start to stop of a batch, past its end copies of its last one."""
    lanes = np.minimum(np.arange(start, stop), len(batch.sigma) - 1)
    return jax.tree.map(lambda leaf: leaf[lanes], batch)
