"""Slices of real brains for tests."""

import numpy as np
import pytest


def middle(image):
    """The middle 128 x 128 pixels in [0, 1]."""
    image = np.asarray(image, np.float32)
    row, col = ((n - 128) // 2 for n in image.shape)
    return np.clip(image / np.percentile(image, 99.5), 0, 1)[row : row + 128, col : col + 128]


def mni():
    """A slice of the MNI152 template."""
    datasets = pytest.importorskip("nilearn.datasets", reason="nilearn (it ships the MNI152 template) is not installed")
    return middle(datasets.load_mni152_template(resolution=1).dataobj[:, :, 94])
