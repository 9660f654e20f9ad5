"""What the speed benchmarks run on: generated heads of any size and number, and networks with or without weights."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rnst_jax import features
from rnst_jax.features import Extractor
from rnst_jax.features.catalogue import find
from rnst_jax.mask import bounding_box, head_mask
from rnst_jax.simulate import degrade

PRECISIONS: dict[str, DTypeLike | None] = {"float32": None, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""Of the network; the rest is float32. On GPUs float32 convolutions are TF32 where JAX's default precision says so."""

DISTINCT = 16
"""Heads in a batch; from there on they come again, with other noise."""

# half axes in rows and columns, centre, and intensity: scalp, skull, cortex, white matter and ventricles
_ELLIPSES = (
    (0.86, 0.70, 0.0, 0.0, 0.85),
    (0.80, 0.64, 0.0, 0.0, 0.10),
    (0.76, 0.60, 0.0, 0.0, 0.55),
    (0.62, 0.22, 0.0, -0.27, 0.85),
    (0.62, 0.22, 0.0, 0.27, 0.85),
    (0.26, 0.07, -0.1, -0.09, 0.20),
    (0.26, 0.07, -0.1, 0.09, 0.20),
)


def head(size: int, turn: float = 0.0) -> np.ndarray:
    """A head of ellipses, (size, size) in [0, 1]; ``turn`` (radians) moves what is in it.

    Examples:
        >>> round(float(head(64)[32, 20]), 2), float(head(64)[0, 0])
        (0.85, 0.0)
    """
    row, column = np.meshgrid(*2 * [np.linspace(-1, 1, size)], indexing="ij")
    folds = 0.06 * np.sin(9 * np.arctan2(row, column) + turn)
    image = np.zeros((size, size))
    for number, (a, b, y, x, value) in enumerate(_ELLIPSES):
        radius = np.hypot((row - y) / a, (column - x) / b) + (folds if number > 2 else 0)
        # an edge one pixel wide
        image += np.clip(0.5 + (1 - radius) * b * size / 2, 0, 1) * (value - image)
    return image.astype(np.float32)


def heads(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """So many different heads, (count, size, size), and a style that is none of them, (size, size).

    Examples:
        >>> [found.shape for found in heads(2, 32)]
        [(2, 32, 32), (32, 32)]
    """
    return np.stack([head(size, turn=0.3 * number) for number in range(count)]), head(size, turn=1.5)


def batch(count: int, size: int, noise: float = 0.05) -> dict[str, Any]:
    """Arguments of `rnst_jax.reconstruct`: low-field heads, one style, masks, on the boxes of the heads.

    Examples:
        >>> {name: array.shape for name, array in batch(2, 64).items()}
        {'y': (2, 64, 64), 'style': (1, 64, 64), 'mask': (2, 64, 64), 'style_mask': (1, 64, 64)}
    """
    # finding a head takes longer than drawing one
    distinct, style = heads(min(count, DISTINCT), size)
    again = np.arange(count) % DISTINCT
    clean, keys = distinct[again], jax.random.split(jax.random.key(0), count)
    y = np.asarray(jax.jit(jax.vmap(lambda x, key: degrade(x, key, noise=noise)))(clean, keys)).clip(0, 1)
    masks = np.stack([head_mask(image) for image in distinct]).astype(np.float32)[again]
    style_masks = head_mask(style)[None].astype(np.float32)
    box, style_box = ((slice(None), *bounding_box(found > 0)) for found in (masks, style_masks))
    return {"y": y[box], "style": style[None][style_box], "mask": masks[box], "style_mask": style_masks[style_box]}


def extractor(name: str, precision: str = "float32") -> tuple[Extractor, str]:
    """A network, and which weights it has: those of the package, else seeded random ones, which cost the same.

    Raises:
        ValueError: unknown network or precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"no precision '{precision}'; there are: {', '.join(PRECISIONS)}")
    if name == "vgg16":
        return features.load(name, dtype=PRECISIONS[precision]), "ImageNet"
    tensors = {}
    for tensor, shape in find(name).shapes().items():
        rng = np.random.default_rng(zlib.crc32(f"{name}/{tensor}".encode()))
        # well below the scale that keeps features as large as they were: residual blocks add up
        scale = 0.2 * np.sqrt(2 / np.prod(shape[1:])) if len(shape) == 4 else 0.1
        tensors[tensor] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return features.build(name, tensors, dtype=PRECISIONS[precision]), "random"
