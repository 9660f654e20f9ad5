"""A seeded pair of head-like slices: a noisy, blurred content and a sharp style of another head and contrast."""

import numpy as np
from scipy.ndimage import gaussian_filter

# centre (y, x), half axes (y, x), angle in degrees; in units where the image spans [-1, 1]
CONTENT_SHAPES = {
    "scalp": ((0.0, 0.0), (0.90, 0.72), 0),
    "skull": ((0.0, 0.0), (0.83, 0.65), 0),
    "cortex": ((0.0, 0.0), (0.77, 0.59), 0),
    "white": ((0.02, 0.0), (0.60, 0.44), 0),
    "ventricle_left": ((-0.05, -0.13), (0.25, 0.07), 12),
    "ventricle_right": ((-0.05, 0.13), (0.25, 0.07), -12),
    "nucleus_left": ((0.08, -0.26), (0.12, 0.08), -20),
    "nucleus_right": ((0.08, 0.26), (0.12, 0.08), 20),
}
STYLE_SHAPES = {
    "scalp": ((0.03, -0.02), (0.86, 0.78), 4),
    "skull": ((0.03, -0.02), (0.79, 0.71), 4),
    "cortex": ((0.03, -0.02), (0.74, 0.66), 4),
    "white": ((0.05, -0.02), (0.56, 0.50), 4),
    "ventricle_left": ((0.02, -0.16), (0.18, 0.06), 20),
    "ventricle_right": ((0.02, 0.14), (0.20, 0.06), -16),
    "nucleus_left": ((0.16, -0.30), (0.13, 0.09), -25),
    "nucleus_right": ((0.16, 0.27), (0.12, 0.10), 25),
}
CONTENT_TISSUE = {"scalp": 0.75, "skull": 0.15, "cortex": 0.50, "white": 0.62, "ventricle": 0.30, "nucleus": 0.52}
STYLE_TISSUE = {"scalp": 0.85, "skull": 0.06, "cortex": 0.52, "white": 0.80, "ventricle": 0.12, "nucleus": 0.60}


def _ellipse(size, centre, axes, angle, edge):
    """1 inside, 0 outside, with a soft edge about ``edge`` pixels wide."""
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    y, x = grid[:, None] - centre[0], grid[None, :] - centre[1]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    radius = np.hypot((c * y + s * x) / axes[0], (c * x - s * y) / axes[1])
    return 1 / (1 + np.exp(np.clip((radius - 1) * min(axes) * size / edge, -50, 50)))


def _head(size, shapes, tissue, edge):
    """Paint the ellipses in order, each over the ones before it; return the picture and the head's soft mask."""
    picture = np.zeros((size, size))
    for name, (centre, axes, angle) in shapes.items():
        inside = _ellipse(size, centre, axes, angle, edge)
        picture = picture * (1 - inside) + tissue[name.split("_")[0]] * inside
    return picture, _ellipse(size, *shapes["scalp"], edge)


def _smooth_noise(rng, size, sigma):
    """Gaussian noise filtered to a correlation length of ``sigma`` pixels, standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return noise / noise.std()


def _minmax(image):
    return ((image - image.min()) / (image.max() - image.min())).astype(np.float32)


def phantom_pair(seed: int = 0, size: int = 64, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Content and style, float32 (size, size), each min-max scaled to [0, 1].

    The content is blurred, has a smooth bias field, and Rician noise (standard deviation ``noise`` of the real and of
    the imaginary part, before the scaling). The style has another anatomy, sharp edges, stronger contrast, fine texture
    inside the head and little noise.
    """
    rng = np.random.default_rng(seed)
    picture, mask = _head(size, CONTENT_SHAPES, CONTENT_TISSUE, edge=1.2)
    picture *= 1 + 0.10 * _smooth_noise(rng, size, size / 4)
    picture = gaussian_filter(picture + 0.02 * mask * _smooth_noise(rng, size, 1.5), 0.9)
    content = np.hypot(picture + noise * rng.standard_normal(picture.shape), noise * rng.standard_normal(picture.shape))
    picture, mask = _head(size, STYLE_SHAPES, STYLE_TISSUE, edge=0.5)
    picture *= 1 + 0.05 * _smooth_noise(rng, size, size / 4)
    picture += 0.03 * mask * _smooth_noise(rng, size, 1.0)
    style = np.hypot(picture + 0.008 * rng.standard_normal(picture.shape), 0.008 * rng.standard_normal(picture.shape))
    return _minmax(content), _minmax(style)
