"""Forward models against NumPy, sigpy and FINUFFT's definition; masks; coil sensitivities. Shared tests: properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import physics
from rnst_jax.physics import masks
from tests.phantoms import head
from tests.tables import needs_finufft

SHAPE = (10, 7)
KEY = jax.random.key(3)


def complex_normal(seed, *shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def centred_matrix(n):
    k = np.arange(n) - n // 2
    return np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)


@pytest.mark.parametrize("shape", [SHAPE, (8, 8), (5, 9)])
def test_the_fourier_transform_is_centred_and_unitary(shape):
    x = complex_normal(0, *shape)
    y = physics.fft2c(jnp.asarray(x))
    np.testing.assert_allclose(y, centred_matrix(shape[0]) @ x @ centred_matrix(shape[1]).T, atol=1e-5)
    shifted = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x), norm="ortho"))
    np.testing.assert_allclose(y, shifted, atol=1e-5)
    np.testing.assert_allclose(physics.ifft2c(y), x, atol=1e-5)


def test_fourier_is_the_masked_transform():
    x, mask = complex_normal(0, *SHAPE).real, np.random.default_rng(1).random(SHAPE) < 0.5
    expected = mask * np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x), norm="ortho"))
    y = physics.Fourier(jnp.asarray(mask, jnp.float32)).forward(jnp.asarray(x))
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("sampled", [0.5, 1.0])
def test_sense_agrees_with_sigpy(sampled):
    sigpy = pytest.importorskip("sigpy", reason="sigpy is not installed (the extra dev)")
    maps, y = complex_normal(0, 4, *SHAPE), complex_normal(1, 4, *SHAPE)
    x = complex_normal(2, *SHAPE)
    mask = (np.random.default_rng(3).random(SHAPE) < sampled).astype(np.float32)
    linop = sigpy.linop
    coils = linop.Multiply(SHAPE, maps)
    theirs = linop.Multiply(coils.oshape, mask) * linop.FFT(coils.oshape, axes=(-2, -1)) * coils
    ours = physics.Sense(jnp.asarray(maps), jnp.asarray(mask), complex_images=True)
    np.testing.assert_allclose(ours.forward(jnp.asarray(x)), theirs * x, atol=1e-5)
    np.testing.assert_allclose(ours.adjoint(jnp.asarray(y)), theirs.H * y, atol=1e-5)
    real = physics.Sense(jnp.asarray(maps), jnp.asarray(mask))
    np.testing.assert_allclose(real.adjoint(jnp.asarray(y)), (theirs.H * y).real, atol=1e-5)


MASK = jnp.asarray(np.random.default_rng(1).random(SHAPE) < 0.6, jnp.float32)
COMPLEX = {
    "Fourier": lambda: physics.Fourier(MASK, complex_images=True),
    "Sense": lambda: physics.Sense(jnp.asarray(complex_normal(5, 2, *SHAPE)), MASK, complex_images=True),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_images(name):
    operator = COMPLEX[name]()
    x, z = (jnp.asarray(complex_normal(k, *SHAPE)) for k in (0, 1))
    y = jnp.asarray(complex_normal(2, *operator.forward(x).shape))
    there, back = jnp.vdot(operator.forward(x), y), jnp.vdot(x, operator.adjoint(y))
    np.testing.assert_allclose(there, back, rtol=1e-5)
    found = operator.prox(z, y, 2.0)
    assert found.dtype == jnp.complex64
    # where the objective is least its gradient is 0
    gradient = 2.0 * operator.adjoint(operator.forward(found) - y) + found - z
    np.testing.assert_allclose(gradient, 0, atol=2e-5)


def test_the_adjoint_of_the_base_is_complex_for_complex_images():
    class Plain(physics.LinearPhysics):
        complex_images = True
        image_shape = SHAPE

        def forward(self, x):
            return MASK * physics.fft2c(x)

    y = jnp.asarray(complex_normal(0, *SHAPE))
    np.testing.assert_allclose(Plain().adjoint(y), COMPLEX["Fourier"]().adjoint(y), atol=1e-6)


@needs_finufft
def test_non_cartesian_agrees_with_the_sum_and_with_the_grid():
    x = jnp.asarray(complex_normal(0, *SHAPE).real)
    frequencies = [(np.arange(n) - n // 2) / n for n in SHAPE]
    grid = np.stack(np.meshgrid(*frequencies, indexing="ij"), -1).reshape(-1, 2)
    on_grid = physics.NonUniformFourier(jnp.asarray(grid, jnp.float32), SHAPE).forward(x)
    np.testing.assert_allclose(on_grid.reshape(SHAPE), physics.fft2c(x), atol=2e-5)
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (20, 2))
    m, n = np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array(SHAPE)[:, None, None] // 2
    phases = np.exp(-2j * np.pi * (points[:, :1, None] * m + points[:, 1:, None] * n))
    operator = physics.NonUniformFourier(jnp.asarray(points, jnp.float32), SHAPE)
    expected = (phases * np.asarray(x)).sum((1, 2)) / np.sqrt(np.prod(SHAPE))
    np.testing.assert_allclose(operator.forward(x), expected, atol=2e-5)
    # the gradient of the data term is A^H (A x - y)
    y = jnp.asarray(complex_normal(2, 20))
    gradient = jax.grad(lambda x: jnp.sum(jnp.abs(operator.forward(x) - y) ** 2) / 2)(x)
    np.testing.assert_allclose(gradient, operator.adjoint(operator.forward(x) - y), atol=1e-4)


def test_without_finufft_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"rnst-jax\[nufft\]"):
        physics.NonUniformFourier(jnp.zeros((3, 2)), SHAPE).forward(jnp.zeros(SHAPE))


def test_blur_is_a_circular_convolution():
    rng = np.random.default_rng(0)
    x, kernel = rng.random(SHAPE).astype(np.float32), rng.random((3, 4)).astype(np.float32)
    expected = np.zeros(SHAPE)
    for m in range(3):
        for n in range(4):
            expected += kernel[m, n] * np.roll(x, (m - 1, n - 2), (0, 1))
    np.testing.assert_allclose(physics.Blur(jnp.asarray(kernel), SHAPE).forward(jnp.asarray(x)), expected, atol=1e-5)
    assert physics.gaussian_kernel(1.5, 6).sum() == pytest.approx(1)


def test_truncation_keeps_what_the_smaller_matrix_can_hold():
    """A band-limited image, sampled more coarsely: the same cosine on fewer pixels, centred."""

    def cosine(n, m):
        rows, columns = np.arange(n) - n // 2, np.arange(m) - m // 2
        return 2 + np.cos(2 * np.pi * 2 * rows / n)[:, None] + np.sin(2 * np.pi * columns / m)

    small = physics.Truncation((8, 5), (24, 10)).forward(jnp.asarray(cosine(24, 10), jnp.float32))
    np.testing.assert_allclose(small, cosine(8, 5), atol=1e-5)
    with pytest.raises(ValueError, match="not part of"):
        physics.Truncation((8, 12), (24, 10)).forward(jnp.zeros((24, 10)))


def test_thick_slices_are_weighted_means():
    x = jnp.asarray(np.random.default_rng(0).random((7, 3, 2)), jnp.float32)
    y = physics.SliceProfile(jnp.array([0.25, 0.5, 0.25]), 2, (7, 3, 2)).forward(x)
    np.testing.assert_allclose(y, 0.25 * x[:-2:2] + 0.5 * x[1:-1:2] + 0.25 * x[2::2], atol=1e-6)


class TestSensitivity:
    size = (32, 24)

    def coils(self):
        rows, columns = np.mgrid[-1:1:32j, -1:1:24j]
        centres = [(-1, -1), (-1, 1), (1, 0)]
        return np.stack([np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 3 + 1j * a * columns) for a, b in centres])

    def test_smooth_maps_are_recovered(self):
        coils = self.coils()
        maps = coils / np.sqrt((np.abs(coils) ** 2).sum(0))
        image = np.zeros(self.size)
        image[4:-4, 3:-3] = 1
        found = physics.estimate_sensitivity(physics.fft2c(jnp.asarray(maps * image, jnp.complex64)), (12, 12))
        assert found.dtype == jnp.complex64
        np.testing.assert_allclose((np.abs(found) ** 2).sum(0), 1, atol=1e-5)
        inside = np.abs(found - maps)[:, 6:-6, 5:-5]
        assert inside.max() < 0.05

    def test_one_coil_is_the_slow_phase(self):
        phase = np.exp(1j * np.linspace(0, 2, 32))[:, None] * np.ones(24)
        kspace = physics.fft2c(jnp.asarray(phase * head(32)[0][:, :24], jnp.complex64))
        found = physics.estimate_sensitivity(kspace[None], (16, 16))
        np.testing.assert_allclose(np.abs(found), 1, atol=1e-5)
        inside = head(32)[1][:, :24]
        assert np.abs(np.angle(found[0] * phase.conj()))[inside].max() < 0.3
        assert np.median(np.abs(np.angle(found[0] * phase.conj()))[inside]) < 0.02

    def test_no_signal_is_shared_evenly(self):
        np.testing.assert_allclose(physics.estimate_sensitivity(jnp.zeros((4, 8, 8), jnp.complex64), (4, 4)), 0.5)

    def test_a_window_larger_than_kspace(self):
        with pytest.raises(ValueError, match="does not fit"):
            physics.estimate_sensitivity(jnp.zeros((1, 8, 8), jnp.complex64), (9, 4))


DRAWN = {"random": masks.random, "variable density": masks.variable_density, "gaussian": masks.gaussian}


class TestMasks:
    shape = (16, 40)

    def draw(self, name, lines, acs):
        """400 masks; the first two keys are the same."""
        keys = jax.random.split(KEY, 400)
        keys = keys.at[1].set(keys[0])
        return np.asarray(jax.jit(jax.vmap(lambda key: DRAWN[name](key, self.shape, 4, acs, lines=lines)))(keys))

    @pytest.mark.parametrize("name", DRAWN)
    def test_lines(self, name):
        drawn = self.draw(name, True, 6)
        assert drawn.dtype == np.float32
        assert set(np.unique(drawn)) == {0, 1}
        assert (drawn.sum((1, 2)) == 10 * 16).all(), "as many as the acceleration allows"
        assert (drawn == drawn[:, :1]).all(), "whole columns"
        assert drawn[:, :, 17:23].all(), "the centre"
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert (drawn[2:] != drawn[0]).any((1, 2)).mean() > 0.95, "the key decides"

    @pytest.mark.parametrize("name", DRAWN)
    def test_points_and_their_density(self, name):
        drawn = self.draw(name, False, 4)
        assert (drawn.sum((1, 2)) == 160).all()
        assert drawn[:, 6:10, 18:22].all()
        assert not (drawn == drawn[:, :1]).all((1, 2)).any()
        density = drawn.mean(0)
        near, far = density[3:6, 15:25].mean(), density[:3, :6].mean()
        assert near > 3 * far if name != "random" else abs(near - far) < 0.05

    def test_uniform_equispaced_and_partial(self):
        mask = masks.uniform(self.shape, 4, 1)
        np.testing.assert_array_equal(np.flatnonzero(mask[0]), np.arange(1, 40, 4))
        with_centre = masks.equispaced(self.shape, 4, 8, 1)
        np.testing.assert_array_equal(np.flatnonzero(with_centre[3] - mask[3]), [16, 18, 19, 20, 22, 23])
        half = masks.partial_fourier(self.shape, 0.6)
        np.testing.assert_array_equal(np.flatnonzero(half[0]), np.arange(16, 40))

    def test_a_new_acceleration_does_not_recompile(self):
        run = jax.jit(lambda key, acceleration, acs: masks.gaussian(key, self.shape, acceleration, acs))
        assert run(KEY, 4, 6).sum() == 160
        assert run(KEY, 8, 2).sum() == 80
        assert run._cache_size() == 1


def test_half_of_kspace_and_the_phase_determine_a_real_image():
    """Phase-constrained partial Fourier: the model with the phase as a map beats zero-filling."""
    image = jnp.asarray(head(32)[0])
    phase = np.exp(1j * np.linspace(-1, 1, 32)[:, None] * np.linspace(0, 1, 32)).astype(np.complex64)

    @jax.jit
    def compare(image):
        sampled = masks.partial_fourier((32, 32), 0.625)
        y = physics.Sense(jnp.asarray(phase)[None], sampled).forward(image)
        maps = physics.estimate_sensitivity(y, (8, 8))
        return physics.Sense(maps, sampled).prox(jnp.zeros_like(image), y, 100.0), jnp.abs(physics.ifft2c(y[0]))

    found, zero_filled = compare(image)
    assert np.linalg.norm(found - image) < 0.6 * np.linalg.norm(zero_filled - image)


@pytest.mark.parametrize("gamma", [1.0, 1e3, 1e4])
def test_the_proximal_step_is_solved_for_large_gamma(gamma):
    rng = np.random.default_rng(0)
    maps = np.stack([np.exp(-((np.indices((24, 24)) - c) ** 2).sum(0) / 200) for c in (4, 12, 20)])
    mask = (np.arange(24) % 3 == 0).astype(np.float32)[:, None] * np.ones((24, 24), np.float32)
    a = physics.Sense(maps.astype(np.complex64), mask)
    x, z = rng.uniform(size=(2, 24, 24)).astype(np.float32)
    y = a.forward(x)
    found = a.prox(z, y, gamma)
    right = z + gamma * a.adjoint(y)
    assert np.linalg.norm(found + gamma * a.normal(found) - right) < 2e-6 * gamma**0.5 * np.linalg.norm(right)
