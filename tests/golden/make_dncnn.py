"""Make dncnn.npz: what scico's own trained DnCNN returns.

    python tests/golden/make_dncnn.py        (in an environment with scico 0.0.7, which wants an older JAX)

In float32, from scico's parameter files with their batch norms as they are. Keys:

- ``image`` (26, 21): a seeded smooth image with white noise (sigma 0.1), clipped to [0, 1].
- ``conditioned/0.02``, ``conditioned/0.1``, ``conditioned/0.2``: variant 17N, told that sigma.
- ``blind/0.1``: variant 17M. ``blind/0.05``: the same on twice the image, halved again.
"""

import pathlib

import numpy as np

SHAPE = (26, 21)


def noisy_image() -> np.ndarray:
    """Two waves and white noise, float32 in [0, 1]."""
    row, col = np.meshgrid(*(np.linspace(0, 1, n) for n in SHAPE), indexing="ij")
    clean = 0.5 + 0.3 * np.sin(7 * row + 3 * col) * np.cos(9 * col) + 0.15 * (row > 0.6)
    noise = np.random.default_rng(4).standard_normal(SHAPE)
    return np.clip(clean + 0.1 * noise, 0, 1).astype(np.float32)


def main() -> None:
    from scico.denoiser import DnCNN

    image = noisy_image()
    arrays = {"image": image}
    conditioned, blind = DnCNN("17N"), DnCNN("17M")
    for sigma in (0.02, 0.1, 0.2):
        arrays[f"conditioned/{sigma}"] = np.asarray(conditioned(image, sigma))
    arrays["blind/0.1"] = np.asarray(blind(image))
    arrays["blind/0.05"] = np.asarray(blind(2 * image)) / 2
    np.savez(pathlib.Path(__file__).parent / "dncnn.npz", **arrays)


if __name__ == "__main__":
    main()
