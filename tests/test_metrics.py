"""Metrics against scikit-image and SciPy in float64."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from skimage import metrics as oracle

from rnst_jax import metrics

from .phantoms import head, noisy

ROOT = pathlib.Path(__file__).resolve().parents[1]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(case):
    """A reference, an image and a mask: the cases are those where float32 is at risk."""
    clean, mask = head(64)
    image = noisy(clean, 0.05)
    if case == "bright and flat":
        return np.float32(0.9) + np.float32(0.01) * clean, np.float32(0.9) + np.float32(0.01) * image, mask
    if case == "other units":
        return 1000 * clean, 1000 * image, mask
    if case == "not square":
        return clean[:, :41], image[:, :41], mask[:, :41]
    return clean, image, mask


@pytest.fixture(params=["phantom", "bright and flat", "other units", "not square"])
def case(request):
    reference, image, mask = pair(request.param)
    data_range = 1000.0 if request.param == "other units" else 1.0
    return reference, image, mask, data_range


def doubles(*arrays):
    return [a.astype(np.float64) for a in arrays]


def test_psnr(case):
    reference, image, mask, data_range = case
    r, x = doubles(reference, image)
    ours = metrics.psnr(reference, image, data_range=data_range)
    np.testing.assert_allclose(ours, oracle.peak_signal_noise_ratio(r, x, data_range=data_range), rtol=1e-5)
    masked = metrics.psnr(reference, image, data_range=data_range, mask=mask)
    expected = oracle.peak_signal_noise_ratio(r[mask], x[mask], data_range=data_range)
    np.testing.assert_allclose(masked, expected, rtol=1e-5)


def test_nmse(case):
    reference, image, mask, _ = case
    r, x = doubles(reference, image)
    np.testing.assert_allclose(metrics.nmse(reference, image), oracle.normalized_root_mse(r, x) ** 2, rtol=1e-5)
    expected = oracle.normalized_root_mse(r[mask], x[mask]) ** 2
    np.testing.assert_allclose(metrics.nmse(reference, image, mask=mask), expected, rtol=1e-5)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim(case, window):
    reference, image, mask, data_range = case
    options = {"data_range": data_range, "full": True} | (GAUSSIAN if window == "gaussian" else {})
    mean, full = oracle.structural_similarity(*doubles(reference, image), **options)
    ours = metrics.ssim_map(reference, image, data_range=data_range, window=window)
    np.testing.assert_allclose(ours, full, atol=1e-5)
    plain = metrics.ssim(reference, image, data_range=data_range, window=window)
    np.testing.assert_allclose(plain, mean, atol=1e-5)
    masked = metrics.ssim(reference, image, data_range=data_range, window=window, mask=mask)
    np.testing.assert_allclose(masked, full[mask].mean(), atol=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_hfen(case, sigma):
    reference, image, mask, _ = case
    a, b = (ndi.gaussian_laplace(v, sigma) for v in doubles(reference, image))
    ours = metrics.hfen(reference, image, sigma=sigma)
    # Flat bright images leave LoG(ref) near the rounding of the inputs.
    np.testing.assert_allclose(ours, np.linalg.norm(b - a) / np.linalg.norm(a), rtol=5e-5)
    masked = metrics.hfen(reference, image, sigma=sigma, mask=mask)
    np.testing.assert_allclose(masked, np.linalg.norm((b - a)[mask]) / np.linalg.norm(a[mask]), rtol=5e-5)


def protocol(reference, image, mask):
    """Both protocols in float64, written from their definition."""
    r, x = ((v - v.min()) / np.ptp(v) for v in doubles(reference, image))
    out = {
        "minmax_psnr": oracle.peak_signal_noise_ratio(r, x, data_range=1.0),
        "minmax_ssim": oracle.structural_similarity(r, x, data_range=1.0),
    }
    limits = [np.percentile(v[mask], (0.5, 99.5)) for v in doubles(reference, image)]
    pairs = zip(doubles(reference, image), limits, strict=True)
    r, x = (np.clip((v - low) / (high - low), 0, 1) for v, (low, high) in pairs)
    full = oracle.structural_similarity(r, x, data_range=1.0, full=True, **GAUSSIAN)[1]
    a, b = ndi.gaussian_laplace(r, 1.5), ndi.gaussian_laplace(x, 1.5)
    return out | {
        "head_psnr": oracle.peak_signal_noise_ratio(r[mask], x[mask], data_range=1.0),
        "head_ssim": full[mask].mean(),
        "head_hfen": np.linalg.norm((b - a)[mask]) / np.linalg.norm(a[mask]),
    }


def test_both_protocols(case):
    reference, image, mask, _ = case
    if np.ptp(reference) < 0.1:
        pytest.skip("stretching 0.01 of contrast to [0, 1] magnifies float32 rounding a hundredfold")
    ours = metrics.head_scores(reference, image, mask) | metrics.minmax_scores(reference, image)
    expected = protocol(reference, image, mask)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-5, err_msg=name)


@pytest.fixture
def score(shared):
    """The scoring script."""
    spec = importlib.util.spec_from_file_location("score", shared / "eval" / "score.py")
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_real_slices_as_the_scoring_script(shared, score):
    folder = shared / "data" / "ulf" / "sub-02"
    scans = ("sub-02_acq-3T_space-0p055T_T1w.nii.gz", "sub-02_acq-0p055T_T1w.nii.gz")
    reference, image = (np.asarray(nib.load(folder / name).dataobj, np.float64)[..., 1] for name in scans)
    r, x = reference.astype(np.float32), image.astype(np.float32)
    ours = metrics.minmax_scores(r, x) | metrics.head_scores(r, x, score.head_mask(reference))
    np.testing.assert_allclose([ours[name] for name in score.METRICS], score.slice_scores(reference, image), rtol=1e-5)


def test_the_benchmarks_score_the_heads_that_the_scoring_script_scores(shared, score, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    pairs = importlib.import_module("pairs")
    found = sorted((shared / "data" / "ulf").glob("sub-*/*_space-0p055T_*.nii.gz"))
    assert len(found) == 6
    for path in found:
        slices = np.moveaxis(np.asarray(nib.load(path).dataobj, np.float64), -1, 0)
        np.testing.assert_array_equal(pairs.scored_heads(slices), [score.head_mask(each) for each in slices])


def test_batch_under_jit_equals_a_loop():
    clean, mask = head(64)
    batch = np.stack([noisy(clean, s) for s in (0.02, 0.05, 0.1)])
    together = jax.jit(jax.vmap(metrics.head_scores, in_axes=(None, 0, None)))(clean, batch, mask)
    single = jax.jit(metrics.head_scores)
    for k, image in enumerate(batch):
        for name, value in single(clean, image, mask).items():
            assert value.dtype == jnp.float32
            np.testing.assert_allclose(together[name][k], value, rtol=1e-5)


def test_mask_of_numbers_equals_mask_of_booleans():
    clean, mask = head(64)
    image = noisy(clean, 0.05)
    for metric in (metrics.psnr, metrics.ssim, metrics.nmse, metrics.hfen):
        assert metric(clean, image, mask=mask).item() == metric(clean, image, mask=mask.astype(np.float32)).item()


def test_equal_images_are_perfect():
    clean, mask = head(64)
    assert metrics.psnr(clean, clean).item() == np.inf
    assert metrics.ssim(clean, clean).item() == pytest.approx(1, abs=1e-6)
    assert metrics.hfen(clean, clean).item() == 0
    assert metrics.head_scores(clean, clean, mask)["head_psnr"].item() == 120
    assert np.isfinite(list(metrics.minmax_scores(clean, 0 * clean).values())).all()


def test_nan_counts_only_inside_the_mask():
    clean, mask = head(64)
    inside, outside = clean.copy(), clean.copy()
    inside[32, 32], outside[0, 0] = np.nan, np.nan
    for metric in (metrics.psnr, metrics.ssim, metrics.nmse, metrics.hfen):
        assert np.isnan(metric(clean, inside, mask=mask))
        assert np.isnan(metric(clean, outside))
    noise = noisy(clean, 0.05)
    for metric in (metrics.psnr, metrics.ssim, metrics.nmse, metrics.hfen):
        far = np.where(ndi.binary_dilation(mask, np.ones((13, 13))), noise, np.nan)
        assert metric(clean, far, mask=mask) == metric(clean, noise, mask=mask)
    assert np.isnan(list(metrics.head_scores(clean, inside, mask).values())).all()


def test_integers_are_counted_as_numbers():
    r, x = (np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8) for seed in (0, 1))
    for metric in (metrics.psnr, metrics.ssim, metrics.nmse, metrics.hfen):
        np.testing.assert_allclose(metric(r, x), metric(r.astype(np.float32), x.astype(np.float32)), rtol=1e-6)


def test_refusals():
    small = jnp.zeros((6, 20))
    with pytest.raises(ValueError, match="smaller than the 7 x 7 window"):
        metrics.ssim(small, small)
    with pytest.raises(ValueError, match="unknown window 'box'"):
        metrics.ssim(small, small, window="box")  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), gain=st.floats(0.1, 50), offset=st.floats(-2, 2))
def test_head_scores_ignore_gain_and_offset(seed, gain, offset):
    clean, mask = head(64)
    image = noisy(clean, 0.1, seed)
    plain = _head_scores(clean, image, mask)
    for name, value in _head_scores(clean, np.float32(gain) * image + np.float32(offset), mask).items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-3, err_msg=name)


_head_scores = jax.jit(metrics.head_scores)


def test_ssim_of_either_width_with_64_bits_at_hand():
    a, b = np.random.default_rng(0).uniform(size=(2, 24, 24))
    with jax.enable_x64(True):
        wide, narrow = (metrics.ssim(jnp.asarray(a, dtype), jnp.asarray(b, dtype)) for dtype in ("float64", "float32"))
        np.testing.assert_allclose(wide, narrow, atol=1e-5)
