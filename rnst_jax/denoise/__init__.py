"""Denoisers D(x, sigma) and blind estimates of the noise."""

from rnst_jax.denoise.average import Average
from rnst_jax.denoise.bm3d import Bm3d
from rnst_jax.denoise.bm3d_package import bm3d_package
from rnst_jax.denoise.dncnn import DnCNN, dncnn
from rnst_jax.denoise.gaussian import Gaussian
from rnst_jax.denoise.host import Host
from rnst_jax.denoise.identity import Identity
from rnst_jax.denoise.native import AtNativeResolution
from rnst_jax.denoise.nlm import NonLocalMeans
from rnst_jax.denoise.noise import estimate_noise, estimate_sigma, estimate_sigma_background, is_interpolated
from rnst_jax.denoise.sharpened import Sharpened
from rnst_jax.denoise.tv import TotalVariation
from rnst_jax.denoise.wavelet import Wavelet
from rnst_jax.denoise.whitening import filter_edges, unfiltered
from rnst_jax.denoise.zero_filling import native_factor, zero_filling

__all__ = [
    "AtNativeResolution",
    "Average",
    "Bm3d",
    "DnCNN",
    "Gaussian",
    "Host",
    "Identity",
    "NonLocalMeans",
    "Sharpened",
    "TotalVariation",
    "Wavelet",
    "bm3d_package",
    "dncnn",
    "estimate_noise",
    "estimate_sigma",
    "estimate_sigma_background",
    "filter_edges",
    "is_interpolated",
    "native_factor",
    "unfiltered",
    "zero_filling",
]
