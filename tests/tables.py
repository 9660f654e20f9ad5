"""The tables of operators, denoisers, priors and solvers: a new one inherits the shared property tests with a row."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import api, denoise, features, physics, presets, schedules, solvers
from rnst_jax.filters import correlate
from rnst_jax.priors import Denoised, Function, Style, WeightedSum
from rnst_jax.style import Adam, IntensityMap, MultiscaleLbfgs, Pixels, StyleLoss, TorchLbfgs
from rnst_jax.types import pytree


@pytree
class MaskedFourier(physics.LinearPhysics):
    """A test's own operator with complex values and no closed form: it exercises every default of the base."""

    mask: jax.Array

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.mask.shape

    def forward(self, x):
        # The phase ramp makes A^H differ from A^T, and the mask has no Hermitian symmetry.
        phase = jnp.exp(1j * jnp.linspace(0, 3, x.shape[-1], dtype=jnp.float32))
        return self.mask * jnp.fft.fft2(phase * x, norm="ortho")


def masked_fourier(shape):
    return MaskedFourier(jnp.asarray(np.random.default_rng(0).random(shape) < 0.5, jnp.float32))


def _random_mask(shape):
    """Sampled at random, without Hermitian symmetry."""
    return jnp.asarray(np.random.default_rng(1).random(shape) < 0.6, jnp.float32)


def _coil_maps(shape):
    parts = np.random.default_rng(2).standard_normal((2, 3, *shape))
    return jnp.asarray(parts[0] + 1j * parts[1], jnp.complex64)


def _blur(shape):
    return physics.Blur(jnp.asarray(np.random.default_rng(3).random((3, 4)) / 6, jnp.float32), shape)


def _blurred_kspace(shape):
    return physics.Composition(physics.Sense(_coil_maps(shape), _random_mask(shape)), _blur(shape))


def _two_grids(shape):
    coarse = physics.Decimation((2, 3), shape)
    return physics.Sum((physics.Composition(coarse, _blur(shape)), coarse), jnp.array([0.5, -1.5], jnp.float32))


def _two_kspaces(shape):
    parts = physics.Fourier(_random_mask(shape)), physics.Fourier(jnp.ones(shape))
    return physics.Stack(parts, jnp.array([0.5, -1.5], jnp.float32))


def _non_cartesian(shape):
    points = np.random.default_rng(4).uniform(-0.5, 0.5, (37, 2))
    return physics.NonUniformFourier(jnp.asarray(points, jnp.float32), shape, jnp.linspace(0.5, 1, 37))


needs_finufft = pytest.mark.skipif(
    importlib.util.find_spec("jax_finufft") is None, reason="jax-finufft is not installed (the extra nufft)"
)

OPERATORS = [
    pytest.param(lambda shape: physics.Identity(), id="Identity"),
    pytest.param(masked_fourier, id="MaskedFourier"),
    pytest.param(lambda shape: physics.Fourier(_random_mask(shape)), id="Fourier"),
    pytest.param(lambda shape: physics.Sense(_coil_maps(shape), _random_mask(shape)), id="Sense"),
    pytest.param(_non_cartesian, id="NonUniformFourier", marks=needs_finufft),
    pytest.param(_blur, id="Blur"),
    pytest.param(lambda shape: physics.Decimation((2, 3), shape), id="Decimation"),
    pytest.param(lambda shape: physics.SliceProfile(jnp.array([0.25, 0.75]), 3, shape), id="SliceProfile"),
    pytest.param(lambda shape: physics.SliceProfile(jnp.array([0.2, 0.5, 0.3]), 2, shape), id="SliceProfile overlap"),
    pytest.param(lambda shape: physics.Truncation((4, 3), shape), id="Truncation"),
    pytest.param(_blurred_kspace, id="Composition"),
    pytest.param(_two_grids, id="Sum"),
    pytest.param(_two_kspaces, id="Stack"),
]
"""Rows: shape of the images (even) -> operator."""


@dataclass(frozen=True)
class DenoiserRow:
    """What the shared tests may expect of a denoiser."""

    make: Callable[[], Any]
    lowers: bool = True
    """It lowers the error on a noisy phantom."""
    size: int = 64
    """Side of the test images; small where the denoiser is slow."""
    constants: float = 1e-5
    """How far it may move a constant image; what is learned, or shrinks means as well, keeps constants only nearly."""
    keeps: Callable[[Any], Any] = lambda y: y
    """Makes a noisy image one that it may keep at sigma = 0."""


def _host_blur(x, sigma):
    smooth = (np.roll(x, 1, 0) + np.roll(x, -1, 0) + np.roll(x, 1, 1) + np.roll(x, -1, 1)) / 4
    weight = min(4 * sigma, 0.5)
    return (1 - weight) * x + weight * smooth


def _average():
    return denoise.Average((denoise.NonLocalMeans(), denoise.Gaussian()), (2.0, 1.0), (0.6, 1.0))


def _at_half():
    return denoise.AtNativeResolution(denoise.NonLocalMeans(), beyond=4.0)


def _sharpened():
    """Sharpens also what has no noise, so it keeps constant images only."""
    return denoise.Sharpened(denoise.NonLocalMeans())


def _half(y):
    """The image band-limited to half of its frequencies, and positive."""
    return np.asarray(denoise.AtNativeResolution(denoise.Identity())(1 + y, 0.0))


DENOISERS = [
    pytest.param(DenoiserRow(denoise.Identity, lowers=False), id="Identity"),
    pytest.param(DenoiserRow(denoise.Gaussian), id="Gaussian"),
    pytest.param(DenoiserRow(denoise.TotalVariation), id="TotalVariation"),
    pytest.param(DenoiserRow(denoise.Wavelet), id="Wavelet"),
    pytest.param(DenoiserRow(denoise.NonLocalMeans), id="NonLocalMeans"),
    pytest.param(DenoiserRow(lambda: denoise.NonLocalMeans(patch_size=3, patch_distance=3)), id="NonLocalMeans small"),
    pytest.param(DenoiserRow(lambda: denoise.Host(_host_blur)), id="Host"),
    pytest.param(DenoiserRow(denoise.dncnn, size=32, constants=0.02), id="DnCNN"),
    pytest.param(DenoiserRow(denoise.Bm3d, size=32, constants=1e-4), id="Bm3d"),
    pytest.param(DenoiserRow(_average), id="Average"),
    pytest.param(DenoiserRow(_at_half, keeps=_half), id="AtNativeResolution"),
    pytest.param(DenoiserRow(_sharpened, keeps=lambda y: np.full_like(y, y.mean())), id="Sharpened"),
    pytest.param(DenoiserRow(lambda: denoise.dncnn("blind"), size=32, constants=0.02), id="DnCNN blind"),
]


SHALLOW = {"style_taps": ("conv1_1", "conv1_2"), "content_taps": ("conv1_2",)}
"""Taps that are quick to compute and to compile."""


@functools.cache
def shallow():
    """The packaged VGG16, cut after its second convolution."""
    with jax.ensure_compile_time_eval():  # the first call may come from inside a jit, and the result is kept
        extractor = features.load("vgg16")
    return dataclasses.replace(extractor, params={tap: extractor.params[tap] for tap in SHALLOW["style_taps"]})


def _pixels(k):
    loss = StyleLoss(20.0 * k, 1.0, 0.01 * k, **SHALLOW)
    # not Adam: its first step is the gradient's sign, which rounding decides in a pixel or two
    return Style(shallow(), loss, Pixels(), TorchLbfgs(0.4 * k), evaluations=4)


def _pixels_on_scales(k):
    # smooth enough for rounding not to decide whether a step is taken
    loss = StyleLoss(20.0 * k, 1.0, 0.1 * k, **SHALLOW)
    return Style(shallow(), loss, Pixels(), MultiscaleLbfgs(0.05 * k, k, 0.2 * k), evaluations=4)


def _map(k):
    loss = StyleLoss(20.0 * k, 1.0, 0.01 * k, **SHALLOW)
    return Style(shallow(), loss, IntensityMap(stiffness=k, knots=8), Adam(0.05 * k), evaluations=4, reduce=2)


def _gaussian(k):
    return Denoised(denoise.Gaussian(), k)


def _function(k):
    # a blur whose strength is a leaf
    return Function(lambda x, side: correlate(x, jnp.stack([side, 1 - 2 * side, side]), 0), (jnp.float32(0.2) * k,))


def _sum(k):
    return WeightedSum((_gaussian(1.0), _map(1.0)), (1.0, k))


PRIORS = [
    pytest.param(_gaussian, id="Denoised"),
    pytest.param(lambda k: Denoised(denoise.Gaussian(), schedules.Linear(k, 0.5, 3)), id="Denoised scheduled"),
    pytest.param(_function, id="Function"),
    pytest.param(_pixels, id="Style Pixels"),
    pytest.param(_pixels_on_scales, id="Style Pixels on scales"),
    pytest.param(_map, id="Style IntensityMap"),
    pytest.param(_sum, id="WeightedSum"),
]
"""Rows: a number k that multiplies the prior's settings -> prior."""


def solver(config: presets.Config, k: Any = 1.0):
    """The solver of a config, with every number that a user tunes multiplied by k."""
    numbers = ("mu", "lam", "style_weight", "content_weight", "intensity_weight", "learning_rate", "sigma_factor")
    return presets.build(dataclasses.replace(config, **{n: k * getattr(config, n) for n in numbers}), shallow())


def short(name: str, **settings) -> presets.Config:
    """A preset cut down to two outer iterations of a few evaluations on shallow features."""
    return dataclasses.replace(presets.get(name), **{"steps": 2, **SHALLOW, **settings})


# L2: fixed-step L-BFGS on the published L1 loss turns rounding into per cents within some evaluations.
_PUBLISHED = {"depths": (3, 2), "candidates": 2, "refine": 2, "distance": "l2"}


@dataclass(frozen=True)
class SolverRow:
    """What the shared tests may expect of a solver."""

    make: Callable[[Any], Any]
    """A number k that multiplies the solver's settings -> solver."""
    steps: int = 4
    evaluations: int = 4
    """After so many steps."""


def _preset(name, **settings):
    config = short(name, **settings)
    return SolverRow(functools.partial(solver, config), config.steps, api.planned_evaluations(config))


def _red(k, prior=_gaussian):
    return solvers.RedGradient(prior(1.0), 0.3 * k, schedules.Geometric(2.0 * k, k, 4.0))


SOLVERS = [
    pytest.param(_preset("balanced", depths=(4,), denoiser="gaussian"), id="balanced"),
    pytest.param(_preset("balanced", denoiser="gaussian", completion=2), id="balanced, completed"),
    pytest.param(_preset("paper", denoiser="gaussian", **_PUBLISHED), id="paper"),
    pytest.param(_preset("upstream", denoiser="identity", **_PUBLISHED), id="upstream"),
    pytest.param(SolverRow(_red), id="RedGradient"),
    pytest.param(SolverRow(lambda k: _red(k, _sum), 2, 10), id="RedGradient sum"),
    pytest.param(SolverRow(lambda k: solvers.RedFixedPoint(_function(1.0), k)), id="RedFixedPoint"),
    pytest.param(SolverRow(lambda k: solvers.RedProximalGradient(_gaussian(1.0), k, 1.5)), id="RedProximalGradient"),
    pytest.param(SolverRow(lambda k: solvers.red_apg(_gaussian(1.0), k)), id="red_apg"),
    pytest.param(SolverRow(lambda k: solvers.RedAdmm(_gaussian(1.0), k, inner=2), 4, 8), id="RedAdmm"),
    pytest.param(SolverRow(lambda k: solvers.PnpProximalGradient(_gaussian(1.0), 0.8 * k)), id="PnpProximalGradient"),
    pytest.param(SolverRow(lambda k: solvers.pnp_fista(_gaussian(1.0), 0.8 * k)), id="pnp_fista"),
    pytest.param(SolverRow(lambda k: solvers.PnpAdmm(_gaussian(1.0), k)), id="PnpAdmm"),
    pytest.param(SolverRow(lambda k: solvers.annealed(denoise.Gaussian(), 4, lam=k)), id="HalfQuadratic"),
    pytest.param(SolverRow(lambda k: solvers.Anderson(_red(k), memory=3)), id="Anderson"),
    pytest.param(
        SolverRow(lambda k: solvers.Nesterov(solvers.RedAdmm(_gaussian(1.0), k), restart=True)), id="Nesterov"
    ),
    pytest.param(SolverRow(lambda k: solvers.Best(_red(k), solvers.RedEnergy(_gaussian(1.0)))), id="Best"),
]
"""Rows of solvers."""
