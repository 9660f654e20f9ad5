"""The solver that settings describe."""

import dataclasses
from collections.abc import Callable
from typing import Any

from rnst_jax import denoise, ranges
from rnst_jax.features import Extractor
from rnst_jax.presets.config import Config
from rnst_jax.priors import Denoised, Style
from rnst_jax.solvers.rnst import Rnst
from rnst_jax.style.losses import StyleLoss
from rnst_jax.style.optimisers import Adam, OptaxLbfgs, Optimiser, TorchLbfgs
from rnst_jax.style.parametrise import IntensityMap, Pixels

_SOLVER = ("mu", "alpha", "beta", "lam", "caution", "depths", "candidates", "refine", "keeps_best", "content_from")
_SOLVER += ("denoise", "completion", "in_place", "channels", "rescale")
"""Settings of the solver; `rnst_jax.preparation` adds those for styles without a scalp."""

DENOISERS: dict[str, Callable[[], Any]] = {
    "nlm": denoise.NonLocalMeans,
    "tv": denoise.TotalVariation,
    "wavelet": denoise.Wavelet,
    "gaussian": denoise.Gaussian,
    "identity": denoise.Identity,
    "dncnn": denoise.dncnn,
    "bm3d": denoise.Bm3d,
    "bm3d-package": denoise.bm3d_package,
}
"""By the names that `Config` takes."""


def build(config: Config, extractor: Extractor, report: Callable[[int, float], None] | None = None) -> Rnst:
    """The solver that a config describes.

    Raises:
        ValueError: a name that is not among a setting's choices, or a tap that the extractor lacks.
        ImportError: the denoiser needs a package that is not installed.
    """
    extractor.check((*config.style_taps, *config.content_taps))
    if config.denoiser not in DENOISERS:
        raise ValueError(f"no denoiser '{config.denoiser}'; there are: {', '.join(DENOISERS)}")
    families = {"pixels": Pixels(), "map": IntensityMap(config.stiffness, config.knots)}
    if config.parametrisation not in families:
        raise ValueError(f"parametrisation must be 'pixels' or 'map', not '{config.parametrisation}'")
    ranges.agree(config)
    loss = StyleLoss(**{field.name: getattr(config, field.name) for field in dataclasses.fields(StyleLoss)})
    denoiser = DENOISERS[config.denoiser]()
    if config.native > 1:
        mean = denoise.Average((denoiser, denoise.NonLocalMeans()), (1 - config.fine, config.fine), (1.0, 0.6))
        width = config.apodisation * (config.native - 1)
        denoiser = denoise.AtNativeResolution(mean, config.native, width, config.beyond)
    if config.sharpening > 0:
        denoiser = denoise.Sharpened(denoiser, config.sharpening, config.caution)
    return Rnst(
        style=Style(
            extractor,
            loss,
            families[config.parametrisation],
            optimiser=_optimiser(config),
            reduce=config.reduce,
            report=report,
        ),
        denoised=Denoised(denoiser, config.sigma_factor),
        **{name: getattr(config, name) for name in _SOLVER},
    )


def _optimiser(config: Config) -> Optimiser:
    if config.optimiser == "adam":
        return Adam(config.learning_rate, factors=config.factors)
    if config.optimiser == "torch-lbfgs":
        return TorchLbfgs(config.learning_rate, config.history)
    if config.optimiser == "optax-lbfgs":
        return OptaxLbfgs(config.learning_rate, config.history)
    raise ValueError(f"no optimiser '{config.optimiser}'; there are: adam, torch-lbfgs, optax-lbfgs")
