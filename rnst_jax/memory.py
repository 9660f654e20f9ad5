"""How much memory a reconstruction takes: an estimate made before anything is compiled."""

import os
from typing import Any

import jax.numpy as jnp

from rnst_jax.presets import Config

_IMAGE, _FEATURES = 1100, 2700
"""Bytes per pixel, read off XLA's own account of programs with VGG16 to conv4_1 in float32: of what surrounds the
evaluations, and of one evaluation of the loss and its gradient at full resolution."""
_BUDGET = 2**31
"""Bytes that a chunk may take when its size is chosen automatically, if the device has twice as many."""
_SHARE = 4
"""Of an accelerator's memory it may take one part in so many, if that is more."""


def per_image(config: Config, height: int, width: int) -> int:
    """Estimated peak in bytes of what one image takes while it is solved, weights and program left out.

    height x width x (1100 + 2700 n / reduce^2 + history), n the candidates that are refined at once, at least 1. The
    last is L-BFGS's: 8 bytes per channel and pair of its memory, in the chain and in every candidate.

    Examples:
        >>> from rnst_jax import presets
        >>> round(per_image(presets.get("balanced"), 256, 256) / 2**20)
        111
    """
    lanes = config.candidates * len(config.depths) if config.refine else 1
    pairs = min(config.history, max(config.depths)) + lanes * min(config.history, config.refine)
    history = 0 if config.optimiser == "adam" else 8 * pairs * config.channels
    return height * width * (_IMAGE + _FEATURES * lanes // config.reduce**2 + history)


def available(device: Any = None) -> int | None:
    """Bytes that a device has in all: an accelerator's own memory, or the machine's; None where it does not tell.

    Args:
        device: by default the one that JAX computes on.

    Examples:
        >>> import jax
        >>> available(jax.devices("cpu")[0]) > 2**20
        True
    """
    if device is None:
        (device,) = jnp.zeros(()).devices()
    found = (device.memory_stats() or {}).get("bytes_limit")
    if found or device.platform != "cpu":
        return found
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not hasattr(os, "sysconf") or any(name not in os.sysconf_names for name in names):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def chunk(
    config: Config,
    shape: tuple[int, int, int],
    wanted: int | None = None,
    limit: int | None = None,
    device: Any = None,
) -> int:
    """How many images of a batch to solve at a time.

    Args:
        config: the settings.
        shape: (B, H, W) of the batch.
        wanted: so many, if there are as many; by default as many as 2 GiB hold, or a quarter of an accelerator's memory
            if that is more, or fewer if that makes the parts equally large.
        limit: bytes that the device has; `available` by default.
        device: by default the one that JAX computes on.

    Raises:
        ValueError: the estimate is above the limit, or fewer than 1 are wanted.

    Examples:
        >>> from rnst_jax import presets
        >>> chunk(presets.get("balanced"), (40, 256, 256))
        14
        >>> chunk(presets.get("balanced"), (40, 4096, 4096), limit=8 * 2**30)
        Traceback (most recent call last):
        ValueError: 1 image of 4096 x 4096 at a time would take about 27.7 GiB, and the device has 8.0 GiB; crop it
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"chunk must be 1 or more, not {wanted}")
    count, height, width = shape
    each = per_image(config, height, width)
    limit = available(device) if limit is None else limit
    parts = -(-count // max(1, min(count, _budget(device, limit) // each)))
    size = -(-count // parts) if wanted is None else min(wanted, count)
    if limit is not None and size * each > limit:
        remedy = f"give a chunk of {limit // each}" if each <= limit else "crop it"
        raise ValueError(
            f"{size} image{'s' if size > 1 else ''} of {height} x {width} at a time would take about "
            f"{size * each / 2**30:.1f} GiB, and the device has {limit / 2**30:.1f} GiB; {remedy}"
        )
    return size


def _budget(device: Any, limit: int | None) -> int:
    """Bytes for a chunk whose size is chosen: never more than half of what there is."""
    if limit is None:
        return _BUDGET
    platform = device.platform if device else next(iter(jnp.zeros(()).devices())).platform
    wanted = _BUDGET if platform == "cpu" else max(_BUDGET, limit // _SHARE)
    return min(wanted, limit // 2)
