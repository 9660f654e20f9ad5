"""By how much a scan was zero-filled, told from the image alone, and what the presets make of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import api, denoise, presets
from rnst_jax.physics.scanner import acquire

from .phantoms import head
from .test_native import zero_filled

SIDE = 144


def scan(sizes, noise=0.04):
    """The magnitude of a head measured on so many rows and columns, zero-filled to SIDE x SIDE, and its mask."""
    clean, mask = head(SIDE)
    keep = [np.abs(np.fft.fftfreq(SIDE)) * SIDE < size / 2 for size in sizes]
    spectrum = np.fft.fft2(clean) * np.outer(*keep)
    small = np.random.default_rng(0).standard_normal((2, *sizes))
    real, imaginary = (noise * zero_filled(part, (SIDE, SIDE)) for part in small)
    return np.hypot(np.fft.ifft2(spectrum).real + real, imaginary).astype(np.float32), np.asarray(mask, np.float32)


@pytest.mark.parametrize("noise", [0.02, 0.06])
@pytest.mark.parametrize(("measured", "factor"), [(72, 2), (96, 1.5), (115, 1.25), (60, 2)])
def test_the_factor_is_found(measured, factor, noise):
    assert denoise.zero_filling(*scan((measured, measured), noise)) == factor


@pytest.mark.parametrize("noise", [0.01, 0.02])
@pytest.mark.parametrize(("keep", "factor"), [(0.5, 2), (0.67, 1.5), (0.8, 1.25)])
def test_where_k_space_fades_out_it_has_not_ended(keep, factor, noise):
    clean, mask = head(SIDE)
    image = acquire(jnp.asarray(clean), jax.random.key(0), noise=noise, keep=keep, taper=0.5)
    assert denoise.zero_filling(image, mask) == factor


@pytest.mark.parametrize("sizes", [(72, SIDE), (SIDE, 72), (72, 115)])
def test_the_axis_that_was_filled_most_decides(sizes):
    assert denoise.zero_filling(*scan(sizes)) == 2


def test_what_cannot_be_told_is_nan():
    image, mask = scan((SIDE, SIDE))
    assert np.isnan(denoise.zero_filling(image, mask))
    image, mask = scan((72, 72))
    assert np.isnan(denoise.zero_filling(image * mask, mask))
    assert np.isnan(denoise.zero_filling(np.where(image == image.max(), np.nan, image), mask))


@pytest.mark.parametrize(
    ("sizes", "black_air", "native"),
    [
        ((96, 96), False, 1.5),
        ((72, 72), False, 2.0),
        ((72, 72), True, 2.0),
        ((130, 130), False, 1.0),
        ((SIDE, SIDE), False, 1.0),
    ],
)
def test_presets_denoise_at_the_resolution_that_was_measured(sizes, black_air, native):
    image, mask = scan(sizes)
    config = dataclasses.replace(presets.get("fast"), denoiser="gaussian", sharpening=0.0, apodisation=0.6)
    y = image * mask if black_air else image
    prepared = api.prepare(y[None].clip(0, 1), mask[None], preset=config, mask=mask[None], style_mask=mask[None])
    denoiser = prepared.shared[1].denoised.denoiser
    if native == 1:
        assert isinstance(denoiser, denoise.Gaussian)
        return
    assert denoiser.factor == native
    # the blur ends where interpolation does
    assert jnp.allclose(denoiser.apodisation, 0.6 * (native - 1))
