"""How much memory a reconstruction takes: an estimate made before anything is compiled."""

import os
from typing import Any

import jax.numpy as jnp

from rnst_jax.presets import Config

_BYTES_PER_PIXEL = 6000
"""Measured peak memory of one evaluation (VGG16 to conv4_1, loss and gradient, float32) per pixel."""
_BUDGET = 2**31
"""Bytes that a chunk may take when its size is chosen automatically."""


def per_image(config: Config, height: int, width: int) -> int:
    """Estimated peak in bytes of what one image takes while it is solved, weights and program left out.

    height x width x candidates x depths x (6000 / reduce^2 + history), the last for L-BFGS only: 8 bytes per pair of
    curvature and channel.

    Examples:
        >>> from rnst_jax import presets
        >>> per_image(presets.get("balanced"), 256, 256) / 2**20
        93.75
    """
    lanes = config.candidates * len(config.depths)
    history = 0 if config.optimiser == "adam" else 8 * config.history * config.channels
    return height * width * lanes * (_BYTES_PER_PIXEL // config.reduce**2 + history)


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


def chunk(config: Config, shape: tuple[int, int, int], wanted: int | None = None, limit: int | None = None) -> int:
    """How many images of a batch to solve at a time.

    Args:
        config: the settings.
        shape: (B, H, W) of the batch.
        wanted: so many, if there are as many; by default as many as 2 GiB hold, and of those numbers the largest that
            divides the batch evenly.
        limit: bytes that the device has; `available` by default.

    Raises:
        ValueError: the estimate is above the limit, or fewer than 1 are wanted.

    Examples:
        >>> from rnst_jax import presets
        >>> chunk(presets.get("balanced"), (40, 256, 256))
        20
        >>> chunk(presets.get("balanced"), (40, 4096, 4096), limit=8 * 2**30)
        Traceback (most recent call last):
        ValueError: 1 image of 4096 x 4096 at a time would take about 23.4 GiB, and the device has 8.0 GiB; crop it
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"chunk must be 1 or more, not {wanted}")
    count, height, width = shape
    each = per_image(config, height, width)
    most = max(1, min(count, _BUDGET // each))
    size = max(n for n in range(1, most + 1) if count % n == 0) if wanted is None else min(wanted, count)
    limit = available() if limit is None else limit
    if limit is not None and size * each > limit:
        remedy = f"give a chunk of {limit // each}" if each <= limit else "crop it"
        raise ValueError(
            f"{size} image{'s' if size > 1 else ''} of {height} x {width} at a time would take about "
            f"{size * each / 2**30:.1f} GiB, and the device has {limit / 2**30:.1f} GiB; {remedy}"
        )
    return size
