"""BM3D through the optional PyPI package ``bm3d``, whose licence allows non-commercial use only."""

import importlib

import numpy as np

from rnst_jax.denoise.host import Host


def bm3d_package() -> Host:
    """Block-matching and 3-D filtering on the host, for white Gaussian noise of standard deviation sigma.

    The package ``bm3d`` (Tampere University) is no dependency of this library: its licence allows non-commercial use
    only, and whoever installs it accepts that. It is imported when this function is called. sigma = 0 returns x.

    Returns:
        A `Host` denoiser. Two calls return equal ones, so a second one does not compile again.

    Raises:
        ImportError: the package is missing or cannot be loaded.

    Source: Dabov, Foi, Katkovnik and Egiazarian, IEEE TIP 16 (2007).

    Examples:
        >>> denoise = bm3d_package()  # doctest: +SKIP
        >>> denoise(x, 0.05)  # doctest: +SKIP
    """
    _load()
    return Host(_denoise)


def _load():
    # By name, so that type checkers do not look for a package that is usually absent.
    try:
        return importlib.import_module("bm3d")
    except ImportError as error:
        raise ImportError(
            f"this denoiser needs the PyPI package 'bm3d' ({error}). Its licence allows non-commercial use only; "
            "if that suits you: pip install bm3d. Otherwise use Bm3d."
        ) from error


def _denoise(x: np.ndarray, sigma: float) -> np.ndarray:
    return x if sigma <= 0 else _load().bm3d(x, sigma)
