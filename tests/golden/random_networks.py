"""Seeded random weights for the nine extractors, and the images and positions of their golden taps; NumPy only.

Nothing here is stored: the script that makes ``extractor_taps.npz`` and the tests that read it draw the same numbers.
Each tensor has a generator of its own, seeded by its name, so the order of a state dict does not matter.
"""

import zlib
from collections.abc import Mapping

import numpy as np

SIZES = {"224x224": (224, 224, 1), "157x203": (157, 203, 3)}
POSITIONS = 48
PATCH = np.s_[40:77, 40:70]


def random_state(model: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A float32 state dict with these tensors: kernels that keep the scale of features, lively batch norms."""
    return {name: _tensor(f"{model}/{name}", shape) for name, shape in shapes.items()}


def _tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    unit = rng.random(shape, np.float32)
    if len(shape) == 4:
        # variance 2 / inputs: ReLUs halve the power
        return (unit - np.float32(0.5)) * np.float32(np.sqrt(24 / np.prod(shape[1:])))
    if key.endswith(".running_var"):
        return unit + np.float32(0.5)
    if key.endswith(".weight"):
        return np.float32(0.8) * unit + np.float32(0.3)
    return (unit - np.float32(0.5)) * np.float32(0.4)


def image(size: str) -> np.ndarray:
    """The image (height, width, 1 or 3) of a size in [0, 1], float32: blobs, gratings and noise."""
    height, width, channels = SIZES[size]
    rng = np.random.default_rng(height)
    y, x = np.linspace(-1, 1, height)[:, None, None], np.linspace(-1, 1, width)[None, :, None]
    picture = 0.15 * rng.random((height, width, channels))
    for _ in range(8):
        centre, radius = rng.uniform(-0.8, 0.8, (2, channels)), rng.uniform(0.05, 0.5)
        picture += rng.random(channels) * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2)
        frequency = rng.uniform(-40, 40, (2, channels))
        picture += 0.1 * np.sin(frequency[0] * y + frequency[1] * x)
    return ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)


def digest(features: np.ndarray) -> np.ndarray:
    """A tap (h, w, C) in a few numbers: mean, standard deviation, largest magnitude, values at seeded positions.

    A quarter of the positions are on each pair of opposite borders, where a wrong padding shows.
    """
    h, w, c = features.shape
    rng = np.random.default_rng([h, w, c])
    i, j, k = (rng.integers(0, n, POSITIONS) for n in (h, w, c))
    quarter = POSITIONS // 4
    i[:quarter] = np.where(np.arange(quarter) % 2, 0, h - 1)
    j[quarter : 2 * quarter] = np.where(np.arange(quarter) % 2, 0, w - 1)
    features = np.asarray(features, np.float64)
    return np.concatenate([[features.mean(), features.std(), np.abs(features).max()], features[i, j, k]])
