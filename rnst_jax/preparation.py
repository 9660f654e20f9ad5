"""What `rnst_jax.reconstruct` is given, checked and stacked, with what was not given found in the images."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnst_jax import features, memory, presets, ranges, scalp
from rnst_jax.bias import receive_field
from rnst_jax.denoise.noise import estimate_noise
from rnst_jax.denoise.whitening import filter_edges, whitened
from rnst_jax.denoise.zero_filling import native_factor
from rnst_jax.features import Extractor
from rnst_jax.mask import head_mask
from rnst_jax.physics import Identity
from rnst_jax.presets import Config
from rnst_jax.style.highlights import highlight_limit
from rnst_jax.types import Batch, Physics, PRNGKey, Scalar, pytree


@pytree
class Cases:
    """Images with all that belongs to each, every leaf with a leading batch axis."""

    y: Array
    style: Array
    mask: Array | None
    style_mask: Array | None
    sigma: Array
    region: Array | None
    rim: Array
    limit: Array | None
    x0: Array | None
    key: Array
    physics: Any = None


class Prepared(NamedTuple):
    """What `rnst_jax.api.solve_batch` takes: the batch, what it shares, and sizes."""

    batch: Cases
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
    edges: Array | np.ndarray | None = None,
    sigma: Array | np.ndarray | float | None = None,
    x0: Batch | np.ndarray | None = None,
    tol: Scalar | None = None,
    chunk: int | None = None,
    key: PRNGKey | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Prepared:
    """Find what was not given, and check and stack the rest: the arguments of `rnst_jax.api.solve_batch`.

    Takes the arguments of `reconstruct`.
    """
    extractor = features.load("vgg16") if extractor is None else extractor
    config = presets.for_extractor(presets.get(preset), extractor.name) if isinstance(preset, str) else preset
    ranges.check(config)
    y = jnp.asarray(y)
    if physics is None:
        physics, y = Identity(), _images("y", y)
    elif mask is None:
        raise ValueError("give the head mask: with a forward model it cannot be found from y")
    masks = _masks("mask", y, mask, y.shape[1:] if isinstance(physics, Identity) else None)
    masks = jnp.broadcast_to(masks, (len(y), *masks.shape[1:]))
    style = _images("style", style)
    if len(style) not in (1, len(y)):
        raise ValueError(f"style has {len(style)} images for a batch of {len(y)}")
    style = jnp.broadcast_to(style, (len(y), *style.shape[1:]))
    style_masks = jnp.broadcast_to(_masks("style_mask", style, style_mask, style.shape[1:]), style.shape)
    images = jax.vmap(lambda physics, y: physics.adjoint(y), in_axes=(physics_axis, 0))(physics, y)
    if sigma is None:
        sigma = jax.vmap(estimate_noise)(images, masks)
    if config.native == 0:
        config = dataclasses.replace(config, native=native_factor(images, masks))
    filtered = config.native > 1 and config.whitening and isinstance(physics, Identity)
    if filtered and edges is None:
        edges = filter_edges(y, masks, config.native)
    if filtered and edges is not None:
        if np.shape(edges) != (2,):
            raise ValueError(f"edges must be two numbers, along rows and columns, not of shape {np.shape(edges)}")
        y, gain = whitened(y, masks, jnp.asarray(edges), config.whitening, config.native)
        sigma, config = jnp.asarray(sigma) * gain, dataclasses.replace(config, sharpening=0.0)
    if whole_heads is None or not config.masked:
        whole_heads = config.masked and scalp.whole_heads(np.asarray(style), np.asarray(style_masks))
    if field is None and config.bias_correction and whole_heads and isinstance(physics, Identity):
        alone = zip(np.asarray(y)[:, None], np.asarray(masks)[:, None] > 0, strict=True)
        field = np.concatenate([receive_field(image, mask) for image, mask in alone])
    if field is not None:
        if not isinstance(physics, Identity):
            raise ValueError("a field is divided out of images only; make it part of the forward model instead")
        y = jnp.clip(y / _field(field, masks.shape), 0, 1)
    solver = presets.build(config, extractor, progress)
    if config.masked and not whole_heads:
        # in a whole head fat and air decide what is brightest and darkest, which are not to be compared
        tail = config.dark_tail if config.native > 1 else 0.0
        solver = dataclasses.replace(solver, endpoints=config.endpoints, dark_tail=tail, strictness=config.strictness)
    margin = config.margin if whole_heads else 0.0
    region = jnp.asarray([scalp.grow(mask, margin) for mask in np.asarray(masks)], jnp.float32)
    batch = Cases(
        y=_inside(y, region) if config.masked and isinstance(physics, Identity) else y,
        style=_inside(style, style_masks) if config.masked else style,
        mask=masks if config.masked else None,
        style_mask=style_masks if config.masked else None,
        sigma=jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), len(y)),
        region=region if config.masked else None,
        rim=_rim(config, region, whole_heads, rim),
        limit=_limits(images, masks, style, style_masks) if config.masked and not whole_heads else None,
        x0=None if x0 is None else _shaped("x0", x0, masks.shape),
        key=jax.random.split(jax.random.key(0) if key is None else key, len(y)),
        physics=None if physics_axis is None else physics,
    )
    change = (config.rim_gain, config.brain_darkening, config.highlights)
    chunk = memory.chunk(config, (len(y), masks.shape[1], masks.shape[2]), chunk)
    shared = (physics if physics_axis is None else None, solver, tol, change)
    return Prepared(batch, shared, {"max_steps": config.steps, "chunk": chunk})


_limits = jax.jit(jax.vmap(highlight_limit))
"""Given the scan as it came: with its filter undone more stands out."""


def _inside(images: Array, weights: Array) -> Array:
    """The images times the weights; 0 where those are 0, also for NaN."""
    return jnp.where(weights > 0, images * weights, 0)


def _images(name: str, images: Any) -> Array:
    images = jnp.asarray(images, jnp.float32)
    if images.ndim != 3:
        raise ValueError(f"{name} must be (batch, height, width), not {images.shape}")
    return images


def _shaped(name: str, images: Any, *shapes: tuple[int, ...]) -> Array:
    """Images that have one of the shapes."""
    images = jnp.asarray(images, jnp.float32)
    if images.shape not in shapes:
        raise ValueError(f"{name} must be {' or '.join(map(str, shapes))}, not {images.shape}")
    return images


def _field(field: Any, shape: tuple[int, ...]) -> Array:
    """A receive field, by which images can be divided."""
    field = _shaped("field", field, shape, (1, *shape[1:]))
    if not bool((field > 0).all()):
        raise ValueError("field must be above 0 everywhere: images are divided by it")
    return field


def _masks(name: str, images: Array, masks: Any, shape: tuple[int, ...] | None) -> Array:
    """Masks of images of so many pixels, if that is known."""
    if masks is not None:
        masks = _images(name, masks)
        if len(masks) not in (1, len(images)):
            raise ValueError(f"{name} has {len(masks)} images for a batch of {len(images)}")
        if shape is not None and masks.shape[1:] != shape:
            raise ValueError(f"{name} has {masks.shape[1:]} pixels for images of {shape}")
        return masks
    found = np.stack([head_mask(np.asarray(image)) for image in images])
    if not found.any(axis=(1, 2)).all():
        raise ValueError(f"no head found in image {int(np.argmin(found.any(axis=(1, 2))))}; give {name}")
    return jnp.asarray(found, jnp.float32)


def _rim(config: Config, region: Array, whole_heads: bool, rim: Any) -> Array:
    """Weights of the rim, 0 where nothing is to change there."""
    if rim is not None:
        return _shaped("rim", rim, region.shape)
    if whole_heads and (config.rim_gain != 1 or config.brain_darkening != 1):
        return jnp.stack([scalp.rim_weight(mask) for mask in np.asarray(region)])
    return jnp.zeros_like(region)
