"""Denoisers against scikit-image, and what is special to each."""

import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from skimage import restoration as oracle

from rnst_jax import denoise
from rnst_jax.denoise.wavelet import daubechies, inverse_transform, wavelet_transform
from rnst_jax.metrics import psnr

from .phantoms import head, noisy
from .slices import mni

SIGMAS = [0.03, 0.1]


@pytest.fixture(scope="module", params=["phantom T1w", "phantom T2w", "MNI152 T1w", "real T1w", "real T2w"])
def clean(request):
    """A clean slice in [0, 1]; the real ones are 3 T scans."""
    kind, contrast = request.param.split()
    if kind == "MNI152":
        return mni()
    if kind == "phantom":
        return head(128, contrast)[0]
    nib = pytest.importorskip("nibabel")
    folder = request.getfixturevalue("shared") / "data" / "ulf" / "sub-01"
    volume = np.asarray(nib.load(folder / f"sub-01_acq-3T_space-0p055T_{contrast}.nii.gz").dataobj, np.float32)
    return np.clip(volume[..., 1] / np.percentile(volume[..., 1], 99.5), 0, 1)


estimate = jax.jit(denoise.estimate_sigma)


@jax.jit
def denoised(denoiser, x, sigma):
    return denoiser(x, sigma)


def psnr_of(clean, image):
    return psnr(clean, jnp.asarray(image, jnp.float32)).item()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_total_variation_as_scikit_image(clean, sigma):
    y = noisy(clean, sigma)
    model = denoise.TotalVariation()
    expected = oracle.denoise_tv_chambolle(y.astype(float), weight=float(model.weight) * sigma, eps=1e-5)
    assert abs(psnr_of(clean, denoised(model, y, sigma)) - psnr_of(clean, expected)) < 0.1


@pytest.mark.parametrize("sigma", SIGMAS)
def test_non_local_means_as_scikit_image(clean, sigma):
    y = noisy(clean, sigma)
    expected = oracle.denoise_nl_means(
        y.astype(float), h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=6
    )
    ours = denoised(denoise.NonLocalMeans(), y, sigma)
    assert abs(psnr_of(clean, ours) - psnr_of(clean, expected)) < 0.1


@pytest.mark.parametrize("sigma", SIGMAS)
def test_wavelet_as_scikit_image(clean, sigma):
    y = noisy(clean, sigma)
    expected = oracle.denoise_wavelet(
        y.astype(float), sigma=sigma, wavelet="db2", wavelet_levels=4, method="BayesShrink", rescale_sigma=False
    )
    # scikit-image mirrors at borders where this wraps around
    plain = psnr_of(clean, denoised(denoise.Wavelet(moments=2, shifts=1), y, sigma))
    assert abs(plain - psnr_of(clean, expected)) < 0.1
    # what four moments and shifts add
    assert psnr_of(clean, denoised(denoise.Wavelet(), y, sigma)) > plain + 0.4


@pytest.mark.parametrize("moments", [1, 2, 4, 10])
def test_daubechies_as_pywavelets(moments):
    np.testing.assert_allclose(daubechies(moments), pywt.Wavelet(f"db{moments}").rec_lo, atol=1e-12)


def test_wavelet_transform_as_pywavelets():
    x = np.random.default_rng(0).standard_normal((24, 16)).astype(np.float32)
    low = daubechies(2)
    approximation, details = wavelet_transform(jnp.asarray(x), low, 2)

    def coefficients(a):
        # the libraries start their periods at different pixels, even or odd
        return np.sort(np.asarray(a).ravel())

    def like(shift):
        _, expected = pywt.dwt2(np.roll(x, (shift, shift), (0, 1)), "db2", mode="periodization")
        pairs = zip(details[0], expected, strict=True)
        return all(np.allclose(coefficients(np.abs(a)), coefficients(np.abs(b)), atol=1e-5) for a, b in pairs)

    assert like(0) or like(1)
    np.testing.assert_allclose(inverse_transform(approximation, details, low), x, atol=1e-5)


def test_wavelet_is_its_formula():
    # one level of Haar: means and differences of squares of four pixels
    y, sigma = noisy(head(32)[0], 0.1), 0.1
    a, b, c, d = (y[i::2, j::2].astype(float) for i in (0, 1) for j in (0, 1))
    bands = [(a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2]
    rows, cols, both = (
        np.sign(band) * np.maximum(np.abs(band) - sigma**2 / np.sqrt(max(np.mean(band**2) - sigma**2, 1e-12)), 0)
        for band in bands
    )
    expected = np.empty_like(y)
    for (i, j), signs in {(0, 0): (1, 1, 1), (0, 1): (1, -1, -1), (1, 0): (-1, 1, -1), (1, 1): (-1, -1, 1)}.items():
        shrunk = signs[0] * rows + signs[1] * cols + signs[2] * both
        expected[i::2, j::2] = ((a + b + c + d) / 2 + shrunk) / 2
    found = denoised(denoise.Wavelet(moments=1, levels=1, shifts=1), y, sigma)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"moments": 11}, "moments must be 1 to 10, not 11"), ({"levels": 0}, "1 or more, not 0 and 3")],
)
def test_wavelet_refuses(settings, words):
    with pytest.raises(ValueError, match=words):
        denoise.Wavelet(**settings)(jnp.ones((16, 16)), 0.1)


@pytest.mark.parametrize("size", [3, 4])
def test_non_local_means_is_its_formula(size):
    y = noisy(head(20)[0], 0.1)[:, :17].astype(float)
    sigma, h, reach = 0.1, 0.6, 2
    after, margin = size // 2, size // 2 + reach
    before = size - 1 - after
    padded = np.pad(y, margin, mode="reflect")

    def patch(i, j):
        return padded[i + margin - before : i + margin + after + 1, j + margin - before : j + margin + after + 1]

    expected = np.zeros_like(y)
    for i, j in np.ndindex(y.shape):
        total = weights = 0.0
        for a, b in np.ndindex(2 * reach + 1, 2 * reach + 1):
            k, m = i + a - reach, j + b - reach
            distance = np.mean((patch(i, j) - patch(k, m)) ** 2)
            w = np.exp(-max(distance - 2 * sigma**2, 0) / (h * sigma) ** 2)
            total, weights = total + w * padded[k + margin, m + margin], weights + w
        expected[i, j] = total / weights
    ours = denoise.NonLocalMeans(h=h, patch_size=size, patch_distance=reach)(jnp.asarray(y, jnp.float32), sigma)
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_total_variation_meets_the_optimality_bound():
    # The primal minus the dual value bounds the distance to the minimum: 1/2 ||u - u*||^2 <= gap.
    y, sigma = noisy(head(64)[0], 0.1).astype(float), 0.1
    model = denoise.TotalVariation(iterations=300)
    u = np.asarray(denoised(model, jnp.asarray(y, jnp.float32), sigma), np.float64)
    rows, cols = np.diff(u, axis=0, append=u[-1:]), np.diff(u, axis=1, append=u[:, -1:])
    primal = 0.5 * np.sum((u - y) ** 2) + float(model.weight) * sigma * np.hypot(rows, cols).sum()
    # At u = y + div q the dual value is 1/2 ||y||^2 - 1/2 ||u||^2.
    gap = primal - 0.5 * (np.sum(y**2) - np.sum(u**2))
    assert -1e-3 < gap < 1e-3 * primal


def test_total_variation_is_homogeneous():
    y, run = noisy(head(64)[0], 0.1), jax.jit(denoise.TotalVariation())
    np.testing.assert_allclose(run(3 * y, 0.3), 3 * run(y, 0.1), atol=1e-5)


@pytest.mark.parametrize("make", [denoise.Gaussian, denoise.TotalVariation, denoise.NonLocalMeans, denoise.Wavelet])
def test_derivatives_are_finite(make):
    # Half of the image is flat, where a careless square root has an infinite slope.
    y = noisy(head(32)[0], 0.1)
    y[:16] = 0.2
    gradients = jax.jit(jax.grad(lambda d, x, s: jnp.sum(d(x, s) ** 2), argnums=(0, 1, 2)))(make(), y, 0.1)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.1, 2.0])
def test_gaussian_is_symmetric(sigma):
    u, v = np.random.default_rng(0).standard_normal((2, 24, 17)).astype(np.float32)
    d = denoise.Gaussian()
    du, dv = denoised(d, u, sigma), denoised(d, v, sigma)
    np.testing.assert_allclose(jnp.vdot(u, dv), jnp.vdot(du, v), rtol=1e-4, atol=1e-4)


def test_gaussian_matrix_is_symmetric_even_where_the_kernel_is_wider_than_the_image():
    basis = jnp.eye(20).reshape(20, 4, 5)
    matrix = jax.vmap(lambda e: denoise.Gaussian()(e, 0.5).ravel())(basis)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.abs(np.linalg.eigvalsh(matrix)).max() < 1 + 1e-5


def test_gaussian_width_grows_up_to_its_bound():
    widths = [float(denoise.Gaussian().width(s)) for s in (0.0, 0.01, 0.1, 0.5, 100.0)]
    assert widths == sorted(widths)
    assert widths[0] == 0
    assert widths[-1] == 3


def test_host_under_jit_and_vmap():
    seen = []

    def halve(x, sigma):
        seen.append((type(x), x.shape, type(sigma)))
        return x / 2

    out = jax.jit(jax.vmap(denoise.Host(halve), in_axes=(0, None)))(jnp.ones((3, 4, 5)), 0.1)
    assert seen == [(np.ndarray, (4, 5), float)] * 3
    np.testing.assert_array_equal(out, np.full((3, 4, 5), 0.5))


def test_host_is_not_called_on_nan_and_checks_the_shape():
    def fail(x, sigma):
        raise AssertionError("called")

    assert np.isnan(denoise.Host(fail)(jnp.full((2, 2), jnp.nan), 0.1)).all()
    with pytest.raises(Exception, match=r"returned shape \(2,\)"):
        jax.block_until_ready(denoise.Host(lambda x, s: x[0])(jnp.ones((2, 2)), 0.1))


def test_bm3d_package_under_jit_and_vmap():
    # Not a row of the shared table, whose Host row covers the bridge: each call takes a second.
    package = pytest.importorskip("bm3d", reason="the package bm3d (non-commercial licence) is not installed")
    clean = head(32)[0]
    y = noisy(clean, 0.1)
    (out,) = jax.jit(jax.vmap(denoise.bm3d_package(), in_axes=(0, None)))(y[None], 0.1)
    np.testing.assert_allclose(out, package.bm3d(y, 0.1), atol=1e-5)
    assert psnr_of(clean, out) > psnr_of(clean, y) + 1
    assert denoise.bm3d_package() == denoise.bm3d_package()
    np.testing.assert_array_equal(denoise.bm3d_package()(y, 0.0), y)


def test_bm3d_package_without_its_package_names_the_remedy(monkeypatch):
    def missing(name, *args):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"non-commercial use only.*pip install bm3d"):
        denoise.bm3d_package()


def test_bm3d_package_is_not_imported_by_the_package():
    code = "import sys, rnst_jax.denoise; sys.exit('bm3d' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2])
def test_sigma_of_white_noise(sigma):
    y = noisy(np.full((128, 128), 0.5, np.float32), sigma)
    assert estimate(y).item() == pytest.approx(sigma, rel=0.05)
    assert estimate(y).item() == pytest.approx(oracle.estimate_sigma(y), rel=0.05)
    clean, mask = head(128, texture=0.0)
    # Edges count as noise: they matter where there is little of it.
    assert 0.95 * sigma < estimate(noisy(clean, sigma), mask).item() < 1.1 * sigma + 0.01


def test_sigma_sees_the_mask_only():
    clean, mask = head(128)
    y = np.where(mask, noisy(clean, 0.05), noisy(clean, 0.5)).astype(np.float32)
    y[0, 0] = np.nan
    assert estimate(y, mask).item() == pytest.approx(0.05, rel=0.15)
    assert np.isnan(estimate(y))


def test_sigma_of_nothing():
    flat = jnp.zeros((16, 16))
    assert estimate(flat).item() == 0
    assert np.isnan(estimate(flat, flat))
    assert np.isnan(denoise.estimate_sigma_background(flat, flat + 1))


def test_zero_filling_fools_wavelets_and_not_the_background():
    clean, mask = head(64)
    rng = np.random.default_rng(0)
    z = clean + 0.05 * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    spectrum = np.pad(np.fft.fftshift(np.fft.fft2(z)), 32)
    filled = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum))).astype(np.float32) * 4
    wide = np.kron(mask, np.ones((2, 2), bool))
    wide = np.pad(wide, 6)[6:-6, 6:-6]
    assert estimate(filled, wide).item() < 0.03
    air_free = np.maximum.reduce([np.roll(wide, s, a) for s in range(-6, 7) for a in (0, 1)])
    assert denoise.estimate_sigma_background(filled, air_free).item() == pytest.approx(0.05, rel=0.05)


class TestNoiseLevel:
    """`estimate_noise` on a head with Rician noise."""

    sigma = 0.05
    clean, mask = head(96, "T2w", 0)

    def scan(self, shape):
        noise = self.sigma * np.random.default_rng(3).normal(size=(2, *shape))
        return noise[0] + 1j * noise[1]

    def test_white_noise(self):
        x = jnp.abs(self.clean + self.scan(self.clean.shape)).astype(jnp.float32)
        assert abs(denoise.estimate_noise(x, self.mask) / self.sigma - 1) < 0.2  # texture counts a little

    def test_zero_filling_is_seen(self):
        # white noise on the 96 x 96 grid; zero-filling to 192 x 192 keeps the units and correlates the noise
        spectrum = np.fft.fftshift(np.fft.fft2(self.clean + self.scan(self.clean.shape)))
        x = jnp.asarray(np.abs(np.fft.ifft2(np.fft.ifftshift(np.pad(spectrum, 48)))) * 4, jnp.float32)
        mask = jnp.asarray(np.kron(self.mask, np.ones((2, 2))), jnp.float32)
        found = denoise.estimate_noise(x, mask) / self.sigma
        assert denoise.estimate_sigma(x, mask) < 0.5 * self.sigma
        assert 1.5 < found < 4

    def test_blacked_out_air_and_nan(self):
        x = jnp.abs(self.clean + self.scan(self.clean.shape)).astype(jnp.float32) * self.mask
        assert denoise.estimate_noise(x, self.mask) > 0.8 * self.sigma
        assert jnp.isnan(denoise.estimate_noise(x.at[48, 48].set(jnp.nan), self.mask))


@pytest.mark.parametrize("method", [None, "cubic", "lanczos3"])
def test_interpolation_is_noticed_from_the_noise(method):
    image, mask = head(128 if method is None else 64)
    x, mask = jnp.asarray(np.abs(noisy(image, 0.05)), jnp.float32), np.asarray(mask)
    if method is not None:
        x, mask = jax.image.resize(x, (128, 128), method), np.kron(mask, np.ones((2, 2)))
    assert bool(denoise.is_interpolated(x, mask)) == (method is not None)


@pytest.mark.parametrize(
    "model", [denoise.NonLocalMeans(), denoise.TotalVariation(), denoise.Wavelet(), denoise.Gaussian()], ids=str
)
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_half_precision_is_float32_but_for_rounding(model, sigma):
    x = jnp.asarray(noisy(head(32)[0], 0.1))
    expected = model(x.astype(jnp.bfloat16).astype(jnp.float32), jnp.float32(sigma))
    for dtype, atol in ((jnp.bfloat16, 6e-3), (jnp.float16, 3e-3)):
        found = model(x.astype(jnp.bfloat16).astype(dtype), jnp.asarray(sigma, dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=atol)
