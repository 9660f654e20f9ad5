"""A procedural head: ellipses with tissue intensities, a bias field and texture. Generated, no data."""

import numpy as np

# centre row, centre column, half axes and angle (degrees) in units of half the image, then the T1w and T2w intensities.
ELLIPSES = (
    ("scalp", 0.0, 0.0, 0.92, 0.74, 0, 0.85, 0.55),
    ("skull", 0.0, 0.0, 0.86, 0.68, 0, 0.12, 0.10),
    ("csf", 0.01, 0.0, 0.80, 0.62, 0, 0.22, 0.95),
    ("grey matter", 0.01, 0.0, 0.76, 0.58, 0, 0.55, 0.60),
    ("left white matter", 0.0, -0.26, 0.60, 0.24, 8, 0.80, 0.40),
    ("right white matter", 0.0, 0.26, 0.60, 0.24, -8, 0.80, 0.40),
    ("left sulcus", -0.36, -0.40, 0.12, 0.03, 50, 0.25, 0.90),
    ("right sulcus", -0.30, 0.42, 0.14, 0.03, -40, 0.25, 0.90),
    ("left thalamus", 0.05, -0.14, 0.14, 0.09, 20, 0.62, 0.52),
    ("right thalamus", 0.05, 0.14, 0.14, 0.09, -20, 0.62, 0.52),
    ("left ventricle", -0.12, -0.09, 0.26, 0.06, 14, 0.20, 1.00),
    ("right ventricle", -0.12, 0.09, 0.26, 0.06, -14, 0.20, 1.00),
    ("lesion", 0.30, 0.30, 0.06, 0.05, 0, 0.45, 0.85),
)


def head(size: int = 128, contrast: str = "T1w", subject: int = 0, bias: float = 0.15, texture: float = 0.02):
    """An image (size, size) float32 in [0, 1] and its boolean head mask; another subject has another anatomy."""
    rng = np.random.default_rng(subject)
    row, col = np.meshgrid(*2 * [np.linspace(-1, 1, size)], indexing="ij")
    column = {"T1w": 6, "T2w": 7}[contrast]
    image, mask = np.zeros((size, size)), np.zeros((size, size), bool)
    for index, ellipse in enumerate(ELLIPSES):
        cy, cx, a, b, angle = np.array(ellipse[1:6]) + (subject != 0) * rng.normal(0, (0.01, 0.01, 0.01, 0.01, 4))
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        u, v = c * (row - cy) + s * (col - cx), -s * (row - cy) + c * (col - cx)
        radius = np.hypot(u / a, v / max(b, 0.02))
        # An edge about one pixel wide: a partial volume, as scanners have.
        inside = np.clip(0.5 + (1 - radius) * b * size / 2, 0, 1)
        image += inside * (ellipse[column] - image)
        if index == 0:
            mask = inside > 0.5
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size)], indexing="ij"))
    grain = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * np.exp(-((frequency / 0.15) ** 2))).real
    field = 1 + bias * (0.6 * row - 0.4 * col + 0.5 * row * col - 0.3 * col**2)
    image = (image * field + texture * grain / grain.std() * mask) * mask
    return np.clip(image / 1.1, 0, 1).astype(np.float32), mask


def noisy(image: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """The image with white Gaussian noise."""
    return (image + sigma * np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)
