"""BM3D: its parts against their definitions, and its figures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import scipy.fft

from rnst_jax.denoise import Bm3d, NonLocalMeans
from rnst_jax.denoise.block_matching import collaborate, extract, group_size, overlay
from rnst_jax.denoise.bm3d import dct_matrix, haar, inverse_haar, wavelet_matrix
from rnst_jax.metrics import psnr

from .phantoms import head, noisy
from .slices import middle, mni

SMALL = Bm3d(block=4, step=3, search=7, group=4, group_wiener=4)
"""Quick to compile."""

PUBLISHED = Bm3d(2.7, 1.0, group_wiener=32)
"""The normal profile of the paper."""


@jax.jit
def denoised(denoiser, x, sigma):
    return denoiser(x, sigma)


def test_wavelet_as_pywavelets():
    with pytest.warns(UserWarning, match="boundary effects"):
        expected = np.concatenate(pywt.wavedec(np.eye(8), "bior1.5", mode="periodization", level=3, axis=0))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(wavelet_matrix(8), expected, atol=1e-12)
    assert np.linalg.cond(wavelet_matrix(8)) < 4


def test_dct_as_scipy():
    np.testing.assert_allclose(dct_matrix(8), scipy.fft.dct(np.eye(8), norm="ortho", axis=0), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 16])
def test_haar_is_orthonormal(n):
    matrix = haar(jnp.eye(n))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n), atol=1e-6)
    np.testing.assert_allclose(inverse_haar(jnp.eye(n)), matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix[0], np.full(n, n**-0.5), atol=1e-6)


def test_overlay_is_the_adjoint_of_extract():
    rng = np.random.default_rng(0)
    x, p = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((9, 12), (6, 9, 16)))
    assert extract(x, 4).shape == p.shape
    np.testing.assert_array_equal(extract(x, 4)[2, 5].reshape(4, 4), x[2:6, 5:9])
    np.testing.assert_allclose(jnp.vdot(extract(x, 4), p), jnp.vdot(x, overlay(p, 4)), rtol=1e-5)


@pytest.mark.parametrize(("search", "size"), [(7, 8), (39, 16)])
def test_groups_are_the_nearest_patches(search, size):
    # 38 rows of references make tiles that are shifted at the border and one that is filled up
    rng = np.random.default_rng(1)
    guide = rng.standard_normal((38, 29, 3)).astype(np.float32)
    step, reach = 3, search // 2

    def shrink(groups):
        # weights that tell references apart; the nearest member's counts more
        weight = 1 + jnp.square(groups[0, :, 0])
        return groups.at[0].multiply(2), weight

    total, weights = collaborate(jnp.asarray(guide), (jnp.asarray(guide),), shrink, size=size, step=step, search=search)
    expected, counts = np.zeros(guide.shape), np.zeros(guide.shape[:2])
    for i in [*range(0, 37, step), 37]:
        for j in [*range(0, 28, step), 28]:
            window = [
                (float(np.sum((guide[i, j] - guide[a, b]) ** 2)), a, b)
                for a in range(max(0, i - reach), min(38, i + reach + 1))
                for b in range(max(0, j - reach), min(29, j + reach + 1))
            ]
            weight = 1 + guide[i, j, 0] ** 2
            for rank, (_, a, b) in enumerate(sorted(window)[:size]):
                expected[a, b] += weight * guide[a, b] * (1 + (rank == 0))
                counts[a, b] += weight
    np.testing.assert_allclose(weights, counts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-4)


def test_groups_fit_into_corners():
    assert group_size((57, 57), 39, 32) == 32
    assert group_size((57, 57), 3, 32) == 4
    assert group_size((1, 5), 39, 16) == 4


@pytest.mark.parametrize("shape", [(8, 8), (9, 21)])
def test_small_images(shape):
    y = noisy(np.full(shape, 0.5, np.float32), 0.1)
    out = denoised(Bm3d(), y, 0.1)
    assert out.shape == shape
    assert np.mean((out - 0.5) ** 2) < 0.3 * np.mean((y - 0.5) ** 2)


def test_it_is_homogeneous():
    y = noisy(head(32)[0], 0.1)
    np.testing.assert_allclose(denoised(SMALL, 4096 * y, 409.6), 4096 * denoised(SMALL, y, 0.1), rtol=1e-5, atol=1e-2)


def test_a_higher_threshold_is_smoother():
    y = noisy(np.zeros((32, 32), np.float32), 0.1)
    energies = [
        float(jnp.sum(jnp.square(denoised(dataclasses.replace(SMALL, threshold=t), y, 0.1)))) for t in (0.5, 1.5, 4.0)
    ]
    assert energies[0] > 2 * energies[1] > 4 * energies[2]


def test_half_precision_is_kept():
    y, sigma = jnp.asarray(noisy(head(32)[0], 0.1), jnp.float16), jnp.float16(0.1)
    out = denoised(SMALL, y, sigma)
    assert out.dtype == jnp.float16
    expected = denoised(SMALL, y.astype(jnp.float32), sigma.astype(jnp.float32))
    np.testing.assert_allclose(out.astype(jnp.float32), expected, atol=0.01)


def test_derivatives_are_finite():
    y = noisy(head(24)[0], 0.1)
    y[:12] = 0.2
    model = Bm3d(block=2, step=2, search=5, group=2, group_wiener=2)
    gradients = jax.jit(jax.grad(lambda d, x, s: jnp.sum(d(x, s) ** 2), argnums=(1, 2)))(model, y, 0.1)
    assert all(np.isfinite(g).all() for g in gradients)
    assert np.abs(gradients[0]).max() > 0.1


@pytest.mark.parametrize(
    ("denoiser", "x", "error", "words"),
    [
        (Bm3d(), jnp.ones((7, 30)), ValueError, "smaller than a patch; pad it to 8"),
        (Bm3d(), jnp.ones((30, 30), int), TypeError, "not int32"),
        (Bm3d(block=6), jnp.ones((30, 30)), ValueError, "block must be a power of two, not 6"),
        (Bm3d(group=0), jnp.ones((30, 30)), ValueError, "group must be a power of two, not 0"),
        (Bm3d(step=9), jnp.ones((30, 30)), ValueError, "step must be 1 to block = 8, not 9"),
        (Bm3d(search=4), jnp.ones((30, 30)), ValueError, "search must be odd and positive, not 4"),
    ],
)
def test_what_is_refused(denoiser, x, error, words):
    with pytest.raises(error, match=words):
        denoiser(x, 0.1)


@pytest.mark.parametrize(
    ("model", "make", "sigma", "floor", "gain"),
    [
        (Bm3d(), lambda: head(128)[0], 25, 30.85, 0.4),
        (Bm3d(), mni, 10, 35.8, 0.85),
        (Bm3d(), mni, 35, 28.6, 1.75),
        (PUBLISHED, lambda: head(128)[0], 25, 30.85, 0.4),
        (PUBLISHED, mni, 10, 35.8, 0.85),
        (PUBLISHED, mni, 35, 28.75, 1.9),
    ],
    ids=[
        "phantom 25",
        "MNI152 10",
        "MNI152 35",
        "published, phantom 25",
        "published, MNI152 10",
        "published, MNI152 35",
    ],
)
def test_figures(model, make, sigma, floor, gain):
    # the floor and the gain over non-local means lie about 0.1 dB below what was measured
    clean = jnp.asarray(make())
    y = noisy(clean, sigma / 255)
    found = psnr(clean, denoised(model, y, sigma / 255))
    assert found > floor
    assert found > psnr(clean, denoised(NonLocalMeans(), y, sigma / 255)) + gain


@pytest.mark.parametrize(
    ("image", "sigma"), [("MNI152", 10), ("MNI152", 50), ("T1w", 15), ("T1w", 35), ("T2w", 25), ("T2w", 50)]
)
def test_as_the_package(image, sigma, request):
    package = pytest.importorskip("bm3d", reason="the package bm3d (non-commercial licence) is not installed")
    if image == "MNI152":
        clean = mni()
    else:
        nib = pytest.importorskip("nibabel")
        folder = request.getfixturevalue("shared") / "data" / "ulf" / "sub-01"
        clean = middle(nib.load(folder / f"sub-01_acq-3T_space-0p055T_{image}.nii.gz").dataobj[..., 1])
    y = noisy(clean, sigma / 255)
    expected = jnp.asarray(package.bm3d(y, sigma / 255), jnp.float32)
    clean = jnp.asarray(clean)
    assert psnr(clean, denoised(Bm3d(), y, sigma / 255)) > psnr(clean, expected) - 0.3


def test_with_64_bits_at_hand_32_stay():
    x, sigma = noisy(head(32)[0], 0.05), 0.05
    expected = Bm3d()(jnp.asarray(x, jnp.float32), sigma)
    with jax.enable_x64(True):
        found = Bm3d()(jnp.asarray(x, jnp.float32), sigma)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert Bm3d()(jnp.asarray(x, jnp.float64), sigma).dtype == jnp.float64
