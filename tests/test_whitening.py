"""A scanner's filter of k-space, told from the noise in air, and what the presets make of it."""

import dataclasses

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

from rnst_jax import api, denoise
from rnst_jax.cli.solving import findings
from rnst_jax.io.prepare import prepare
from rnst_jax.types import Status

from .phantoms import head
from .tables import short
from .test_native import zero_filled

SIDE = 192
NOISE = 0.04
CONFIG = short("fast", steps=1, denoiser="gaussian", depths=(1,))


def window(edge, n=SIDE // 2):
    """What the filter leaves at each frequency of what was measured."""
    return (1 + edge) / 2 + (1 - edge) / 2 * np.cos(2 * np.pi * np.fft.fftfreq(n))


def scan(edges, seed=0):
    """The magnitude of a head, filtered on half as many rows and columns, then zero-filled, and its mask."""
    clean, mask = head(SIDE)
    keep = np.abs(np.fft.fftfreq(SIDE) + 0.5 / SIDE) < 0.25
    small = np.fft.ifft2(np.fft.fft2(clean)[np.ix_(keep, keep)]).real / 4
    noise = NOISE * np.random.default_rng(seed).standard_normal((2, *small.shape))
    gain = np.outer(*map(window, edges))
    parts = [np.fft.ifft2(np.fft.fft2(part) * gain).real for part in (small + noise[0], noise[1])]
    return np.hypot(*(zero_filled(part, (SIDE, SIDE)) for part in parts)).astype(np.float32), np.float32(mask)


@pytest.mark.parametrize("edges", [(1.0, 1.0), (0.4, 1.0), (0.5, 0.5), (0.6, 0.25)])
def test_the_filter_is_found_along_each_axis(edges):
    found = [scan(edges, seed) for seed in range(3)]
    images, masks = map(np.stack, zip(*found, strict=True))
    # a weak filter hides in the scatter of the correlation, whose square root is taken
    assert np.abs(denoise.filter_edges(images, masks, 2.0) - edges).max() < 0.15


def test_without_air_nothing_is_told_and_slices_with_nan_do_not_count():
    image, mask = scan((0.5, 0.5))
    assert denoise.filter_edges((image * mask)[None], mask[None], 2.0) is None
    assert denoise.filter_edges(np.maximum(image * mask, 0.01)[None], mask[None], 2.0) is None
    broken = np.where(image == image.max(), np.nan, image)
    assert denoise.filter_edges(broken[None], mask[None], 2.0) is None
    both = denoise.filter_edges(np.stack([broken, image]), np.stack([mask, mask]), 2.0)
    assert np.array_equal(both, denoise.filter_edges(image[None], mask[None], 2.0))


def test_the_filter_is_undone():
    clean, _ = head(SIDE)
    kernel = np.fft.ifft(window(0.4, SIDE)).real
    filtered = np.fft.ifft2(np.fft.fft2(clean) * np.fft.fft(kernel)[:, None]).real.astype(np.float32)
    edges = jnp.array([0.4, 1.0])
    assert np.abs(filtered - clean).max() > 0.05
    assert np.abs(denoise.unfiltered(filtered, edges, 1.0, 1.0) - clean).max() < 1e-5
    assert np.abs(denoise.unfiltered(filtered, edges, 0.0, 1.0) - np.maximum(filtered, 0)).max() < 1e-6
    half = denoise.unfiltered(denoise.unfiltered(filtered, edges, 0.5, 1.0), edges, 0.5, 1.0)
    assert np.abs(half - clean).max() < 0.01


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtypes_stay_and_new_numbers_do_not_compile(dtype):
    x = jnp.asarray(scan((0.5, 0.5))[0], dtype)
    before = denoise.unfiltered._cache_size()
    for edge, share in ((0.5, 0.25), (0.7, 1.0)):
        assert denoise.unfiltered(x, jnp.full(2, edge), jnp.float32(share), 2.0).dtype == dtype
    assert denoise.unfiltered._cache_size() == before + 1


def prepared(images, masks, edges=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    options = {"mask": masks, "style_mask": masks[:1], "whole_heads": False, "edges": edges}
    return api.prepare(images, masks[:1], preset=config, **options)


def test_presets_undo_it_in_place_of_sharpening():
    image, mask = scan((0.4, 0.4))
    plain, own = (prepared(image[None], mask[None], whitening=share) for share in (0.0, 0.5))
    assert isinstance(plain.shared[1].denoised.denoiser, denoise.Sharpened)
    assert isinstance(own.shared[1].denoised.denoiser, denoise.AtNativeResolution)
    assert float(own.batch.sigma[0]) > float(plain.batch.sigma[0])
    edges = denoise.filter_edges(image[None], mask[None], 2.0)
    expected = denoise.unfiltered(image, jnp.asarray(edges, jnp.float32), 0.5, 2.0) * mask
    assert np.array_equal(own.batch.y[0], expected)
    # told by no air, it is left in
    black = prepared((image * mask)[None], mask[None], whitening=0.5)
    assert isinstance(black.shared[1].denoised.denoiser, denoise.Sharpened)
    assert np.array_equal(black.batch.y[0], image * mask)


def test_the_command_line_asks_the_whole_scan_whichever_slices_it_solves(tmp_path):
    images, masks = map(np.stack, zip(*(scan((0.4, 0.7), seed) for seed in range(3)), strict=True))
    for name, stack in (("scan", images), ("mask", masks)):
        nib.save(nib.Nifti1Image(np.moveaxis(stack, 0, -1), np.diag([1.0, 1.0, 6.0, 1.0])), tmp_path / f"{name}.nii")
    given = (tmp_path / "scan.nii", tmp_path / "scan.nii", tmp_path / "mask.nii")
    whole, part = (findings(prepare(*given, wanted=wanted), CONFIG) for wanted in ((None, None), (1, 2)))
    assert part.native == whole.native == 2
    assert np.array_equal(part.edges, whole.edges)
    assert not np.array_equal(whole.edges, denoise.filter_edges(images[1:2], masks[1:2], 2.0))
    assert whole.record() == {"ZeroFilling": 2.0, "FilterEdges": whole.edges.round(4).tolist()}
    as_told = findings(prepare(*given), dataclasses.replace(CONFIG, native=1.0))
    assert as_told.native == 1
    assert as_told.record() == {"ZeroFilling": None, "FilterEdges": None}


def test_edges_that_are_given_are_taken():
    image, mask = scan((0.4, 0.4))
    given = prepared(image[None], mask[None], edges=np.array([0.8, 1.0]), whitening=0.5)
    assert np.array_equal(given.batch.y[0], denoise.unfiltered(image, jnp.array([0.8, 1.0]), 0.5, 2.0) * mask)


def test_a_broken_slice_leaves_the_others_as_they_are():
    image, mask = scan((0.4, 0.4))
    broken = np.where(image == image.max(), np.nan, image)
    options = {"preset": CONFIG, "whole_heads": False, "style_mask": mask[None]}
    alone = api.reconstruct(image[None], mask[None], mask=mask[None], **options)
    masks = np.stack([mask, mask])
    both = api.reconstruct(np.stack([broken, image]), mask[None], mask=masks, **options, key=jax.random.key(0))
    assert both.status[0] == Status.NONFINITE
    assert np.allclose(both.image[1], alone.image[0], atol=1e-5)
