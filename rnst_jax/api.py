"""The front door: `solve` one problem, `reconstruct` a batch."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnst_jax import features, memory, presets, scalp
from rnst_jax.bias import receive_field
from rnst_jax.denoise.noise import estimate_noise
from rnst_jax.denoise.whitening import whitened
from rnst_jax.denoise.zero_filling import native_factor
from rnst_jax.features import Extractor
from rnst_jax.mask import head_mask
from rnst_jax.physics import Identity
from rnst_jax.presets import Config
from rnst_jax.solvers import Solver, drive
from rnst_jax.style.highlights import spread_highlights
from rnst_jax.types import Batch, Physics, PRNGKey, Problem, Result, Scalar, pytree


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
        The image (H, W) in [0, 1], how the run ended, and its trace.
    """
    start = problem.physics.adjoint(problem.y) if x0 is None else x0
    key = jax.random.key(0) if key is None else key
    return drive(problem, solver, start, max_steps, key, tol)


def planned_evaluations(config: Config) -> int:
    """Evaluations of the style loss that one image costs at most.

    Examples:
        >>> planned_evaluations(presets.get("upstream"))
        43200
    """
    per_step = sum(config.depths) + config.candidates * len(config.depths) * config.refine
    return config.steps * per_step


class Prepared(NamedTuple):
    """What `solve_batch` takes: a pytree whose leaves have a leading batch axis, what the batch shares, and sizes."""

    batch: Any
    shared: tuple[Any, ...]
    sizes: dict[str, int]


def prepare(
    y: Array | np.ndarray,
    style: Batch | np.ndarray,
    *,
    physics: Physics | None = None,
    physics_axis: Literal[0] | None = None,
    preset: str | Config = "balanced",
    extractor: Extractor | None = None,
    mask: Batch | np.ndarray | None = None,
    style_mask: Batch | np.ndarray | None = None,
    whole_heads: bool | None = None,
    rim: Batch | np.ndarray | None = None,
    field: Batch | np.ndarray | None = None,
    sigma: Array | np.ndarray | float | None = None,
    x0: Batch | np.ndarray | None = None,
    tol: Scalar | None = None,
    chunk: int | None = None,
    key: PRNGKey | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Prepared:
    """Find what was not given, and check and stack the rest: the arguments of `solve_batch`.

    Takes the arguments of `reconstruct`.
    """
    extractor = features.load("vgg16") if extractor is None else extractor
    config = presets.for_extractor(presets.get(preset), extractor.name) if isinstance(preset, str) else preset
    y = jnp.asarray(y)
    if physics is None:
        physics, y = Identity(), _images("y", y)
    elif mask is None:
        raise ValueError("give the head mask: with a forward model it cannot be found from y")
    masks = _masks("mask", y, mask)
    masks = jnp.broadcast_to(masks, (len(y), *masks.shape[1:]))
    style = jnp.broadcast_to(_images("style", style), (len(y), *np.shape(style)[1:]))
    style_masks = jnp.broadcast_to(_masks("style_mask", style, style_mask), style.shape)
    if sigma is None or config.native == 0:
        images = jax.vmap(lambda physics, y: physics.adjoint(y), in_axes=(physics_axis, 0))(physics, y)
    if sigma is None:
        sigma = jax.vmap(estimate_noise)(images, masks)
    if config.native == 0:
        config = dataclasses.replace(config, native=native_factor(images, masks))
    filtered = config.native > 1 and config.whitening and isinstance(physics, Identity)
    if filtered and (found := whitened(y, masks, config.native, config.whitening)):
        y, sigma, config = found[0], jnp.asarray(sigma) * found[1], dataclasses.replace(config, sharpening=0.0)
    if whole_heads is None or not config.masked:
        whole_heads = config.masked and scalp.whole_heads(np.asarray(style), np.asarray(style_masks))
    if field is None and config.bias_correction and whole_heads and isinstance(physics, Identity):
        alone = zip(np.asarray(y)[:, None], np.asarray(masks)[:, None] > 0, strict=True)
        field = np.concatenate([receive_field(image, mask) for image, mask in alone])
    if field is not None:
        if not isinstance(physics, Identity):
            raise ValueError("a field is divided out of images only; make it part of the forward model instead")
        y = jnp.clip(y / _images("field", field), 0, 1)
    solver = presets.build(config, extractor, progress)
    if config.masked and not whole_heads:
        # in a whole head fat and air decide what is brightest and darkest, which are not to be compared
        solver = dataclasses.replace(solver, endpoints=config.endpoints, strictness=config.strictness)
    margin = config.margin if whole_heads else 0.0
    region = jnp.asarray([scalp.grow(mask, margin) for mask in np.asarray(masks)], jnp.float32)
    batch = _Batch(
        y=y * region if config.masked and isinstance(physics, Identity) else y,
        style=style * style_masks if config.masked else style,
        mask=masks if config.masked else None,
        style_mask=style_masks if config.masked else None,
        sigma=jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), len(y)),
        region=region if config.masked else None,
        rim=_rim(config, region, whole_heads, rim),
        x0=None if x0 is None else _images("x0", x0),
        key=jax.random.split(jax.random.key(0) if key is None else key, len(y)),
        physics=None if physics_axis is None else physics,
    )
    change = (config.rim_gain, config.brain_darkening, config.highlights if whole_heads else None)
    chunk = memory.chunk(config, (len(y), masks.shape[1], masks.shape[2]), chunk)
    shared = (physics if physics_axis is None else None, solver, tol, change)
    return Prepared(batch, shared, {"max_steps": config.steps, "chunk": chunk})


def compile(y: Array | np.ndarray, style: Batch | np.ndarray, **options: Any) -> Callable[[], Result]:
    """Prepare and compile what `reconstruct` runs; takes the same arguments and returns a function without any.

    So that compile time and run time can be told apart: ``run = compile(y, style)``, then ``run()``.
    """
    found = prepare(y, style, **options)
    compiled = solve_batch.lower(found.batch, *found.shared, **found.sizes).compile()
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

    def part(number: int) -> Any:
        lanes = np.minimum(np.arange(number * size, (number + 1) * size), total - 1)
        return jax.tree.map(lambda leaf: leaf[lanes], found.batch)

    compiled = solve_batch.lower(part(0), *found.shared, **found.sizes).compile()

    def run(number: int) -> Result:
        result = compiled(part(number), *found.shared)
        return jax.tree.map(lambda leaf: leaf[: total - number * size], result)

    return Parts(-(-total // size), run)


def reconstruct(y: Array | np.ndarray, style: Batch | np.ndarray, **options: Any) -> Result:
    """Reconstruct a batch of low-field images in the look of high-field style images.

    Every image is solved on its own: a result never depends on the others in the batch, but for what is found from all
    of them: ``native = 0`` of the preset becomes 1 where the noise of most images is white, else the median of their
    `rnst_jax.denoise.zero_filling`, or 2 if that cannot tell; ``whitening`` finds the scanner's filter in all of them.
    And ``margin``, ``rim_gain``, ``brain_darkening``, ``highlights`` and ``bias_correction`` apply if ``whole_heads``,
    else ``endpoints`` and ``strictness``.

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
        sigma: standard deviation of the noise in units of y, a number or one per image; by default
            `rnst_jax.denoise.estimate_noise`.
        x0: (B, H, W) where to start; A^H y by default.
        tol: an image stops when its relative change per iteration falls to this; by default all steps are taken.
        chunk: images that are solved at the same time; by default as many as fit into 2 GiB.
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


@pytree
class _Batch:
    y: Array
    style: Array
    mask: Array | None
    style_mask: Array | None
    sigma: Array
    region: Array | None
    rim: Array
    x0: Array | None
    key: Array
    physics: Any = None


@functools.partial(jax.jit, static_argnames=("max_steps", "chunk"))
def solve_batch(
    batch: _Batch,
    physics: Any,
    solver: Any,
    tol: Scalar | None,
    change: tuple[Scalar, Scalar, Scalar | None],
    *,
    max_steps: int,
    chunk: int,
) -> Result:
    """Solve what `prepare` has made, ``chunk`` images at a time."""

    def one(case: _Batch) -> Result:
        own = physics if case.physics is None else case.physics
        problem = Problem(case.y, case.style, case.mask, case.style_mask, own, case.sigma)
        result = solve(problem, solver, case.x0, max_steps=max_steps, tol=tol, key=case.key)
        if case.region is None:
            return result
        # a denoiser may undershoot 0 at an edge
        *at_the_rim, share = change
        image = case.region * scalp.to_high_field(jnp.clip(result.image, 0, 1), case.rim, *at_the_rim)
        if share is not None:
            image = spread_highlights(image, case.mask, case.style, case.style_mask, share * jnp.any(case.rim > 0))
        return dataclasses.replace(result, image=image)

    if chunk == len(batch.sigma):
        return jax.vmap(one)(batch)
    return jax.lax.map(one, batch, batch_size=chunk)


def _images(name: str, images: Any) -> Array:
    images = jnp.asarray(images, jnp.float32)
    if images.ndim != 3:
        raise ValueError(f"{name} must be (batch, height, width), not {images.shape}")
    return images


def _masks(name: str, images: Array, masks: Any) -> Array:
    if masks is not None:
        masks = _images(name, masks)
        if len(masks) not in (1, len(images)):
            raise ValueError(f"{name} has {len(masks)} images for a batch of {len(images)}")
        return masks
    found = np.stack([head_mask(np.asarray(image)) for image in images])
    if not found.any(axis=(1, 2)).all():
        raise ValueError(f"no head found in image {int(np.argmin(found.any(axis=(1, 2))))}; give {name}")
    return jnp.asarray(found, jnp.float32)


def _rim(config: Config, region: Array, whole_heads: bool, rim: Any) -> Array:
    """Weights of the rim, 0 where nothing is to change there."""
    if rim is not None:
        return _images("rim", rim)
    if whole_heads and (config.rim_gain != 1 or config.brain_darkening != 1):
        return jnp.stack([scalp.rim_weight(mask) for mask in np.asarray(region)])
    return jnp.zeros_like(region)
