"""DnCNN against scico's own network, its ranges and types, and that it denoises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import denoise
from rnst_jax.denoise.dncnn import VARIANTS
from rnst_jax.features import WeightsError, weights
from rnst_jax.metrics import psnr

from .golden_files import golden
from .phantoms import head, noisy


@pytest.fixture(scope="module", params=list(VARIANTS))
def model(request):
    return denoise.dncnn(request.param)


@jax.jit
def run(model, x, sigma):
    return model(x, sigma)


CASES = [key for key in golden("dncnn.npz") if key != "image"]


@pytest.mark.parametrize("key", CASES)
def test_is_scicos(key):
    file = golden("dncnn.npz")
    variant, sigma = key.split("/")
    found = run(denoise.dncnn(variant), file["image"], float(sigma))
    np.testing.assert_allclose(found, file[key], atol=1e-5)


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_beats_the_gaussian_clearly(model, sigma):
    clean = head(96)[0]
    y = noisy(clean, sigma / 255)
    learned, blurred = (psnr(clean, run(d, y, sigma / 255)).item() for d in (model, denoise.Gaussian()))
    assert learned > blurred + 2


def test_beyond_the_levels_of_its_training(model):
    # Rescaled, it still denoises what is far noisier than all that it was trained on.
    clean = head(96)[0]
    y = noisy(clean, 0.6)
    assert psnr(clean, run(model, y, 0.6)) > psnr(clean, y) + 10


def test_goes_to_the_image_as_sigma_goes_to_zero(model):
    y = noisy(head(48)[0], 0.1)
    sigmas = float(model.floor) * np.array([1.0, 0.5, 0.1, 0.0])
    changes = [np.abs(run(model, y, s) - y).max() for s in sigmas]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] == 0
    # nothing jumps at the floor
    below, above = (run(model, y, model.floor * f) for f in (0.999, 1.001))
    np.testing.assert_allclose(below, above, atol=5e-3)


@pytest.mark.parametrize(("dtype", "atol"), [("bfloat16", 1e-2), ("float16", 1e-3), ("float32", 1e-5)])
def test_the_images_dtype_stays(model, dtype, atol):
    y = np.clip(noisy(head(32)[0], 0.1), 0, 1)
    expected, found = run(model, y, 0.1), run(model, jnp.asarray(y, dtype), 0.1)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=atol)


def test_float64_stays(model):
    y = np.clip(noisy(head(32)[0], 0.1), 0, 1).astype(np.float64)
    with jax.enable_x64(True):
        found = run(model, y, 0.1)
        assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, run(model, y.astype(np.float32), 0.1), atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "complex64"])
def test_other_types_are_refused(model, dtype):
    with pytest.raises(TypeError, match=f"real floating numbers in .0, 1., not {dtype}; convert"):
        model(jnp.ones((8, 8), dtype), 0.1)


def test_derivatives_are_finite_and_right(model):
    y = jnp.asarray(np.clip(noisy(head(32)[0], 0.1), 0.02, 0.98))
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(y.shape), jnp.float32)

    @jax.jit
    def loss(x, sigma):
        return jnp.sum(model(x, sigma) * direction)

    gradient, slope = jax.jit(jax.grad(loss, (0, 1)))(y, 0.1)
    assert np.isfinite(gradient).all()
    assert np.isfinite(slope)
    # the network is piecewise linear: short enough differences stay mostly within a piece
    step = 1e-3
    numeric = (loss(y + step * direction, 0.1) - loss(y - step * direction, 0.1)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(gradient, direction), numeric, rtol=0.02)


def test_numbers_are_leaves():
    leaves = jax.tree.leaves(denoise.dncnn())
    assert sum(np.size(leaf) for leaf in leaves) == 2 + 9 * 64 * (2 + 15 * 64 + 1) + 15 * 64


def test_unknown_variant():
    with pytest.raises(ValueError, match="no DnCNN variant 'deep'; there are: conditioned, blind"):
        denoise.dncnn("deep")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    for name in ("MANIFEST.json", "dncnn17n.safetensors"):
        (tmp_path / name).write_bytes((weights.folder() / name).read_bytes())
    path = tmp_path / "dncnn17n.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(weights, "folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=r"dncnn17n.safetensors: sha256"):
        denoise.dncnn()
