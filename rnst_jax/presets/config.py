"""Settings as plain data, and the named ones."""

import dataclasses
from typing import Any, Literal

from rnst_jax.style.defaults import defaults
from rnst_jax.style.losses import VGG_CONTENT_TAPS, VGG_STYLE_TAPS


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a reconstruction. Floats but ``native`` never recompile; all else sets shapes or loop lengths.

    Attributes:
        steps: outer iterations.
        mu: step size.
        alpha: weight of the data term A^H (A x - y).
        beta: weight of the style prior x - T(x).
        lam: weight of the denoising prior x - D(x), lambda.
        caution: c, beta and sharpening count 1 / (1 + c sigma^2) times in an image with noise of sigma; 0: in full.
        depths: evaluations per link of the chain of stylised images.
        candidates: step sizes mu, 2 mu, ... tried per link.
        refine: engine evaluations on each candidate before it is scored.
        keeps_best: return the best-scoring iterate instead of the last.
        parametrisation: what the style engine may change: ``"pixels"``, or the ``"map"`` of intensities.
        knots: of the intensity map.
        stiffness: of the intensity map.
        style_weight: of the Gram term.
        content_weight: of the content term.
        smoothing: of the absolute value in the loss, relative to each target.
        intensity_weight: of the distance between the intensity distributions.
        quantile_count: that describe a distribution; 0 leaves that term out.
        style_taps: features of the Gram term.
        content_taps: features of the content term.
        softmax: smooth the activations, which residual networks need.
        temperature: of that softmax.
        distance: ``"l1"`` or ``"l2"``.
        masked: Grams over the head only, and air set to zero.
        margin: how far beyond its mask a head is kept if the style shows a scalp, as a share of the square root of its
            area: low resolution smears the skin over the outline. Needs ``masked``.
        rim_gain: by how much the rim of the head is brighter than at low field, in the same case, see `rnst_jax.scalp`.
        brain_darkening: by how much dark and middle tones of the brain are darker than at low field, in the same case.
        highlights: share of `rnst_jax.style.spread_highlights`, last of all, in the same case, and of `hold_highlights`
            in the other.
        bias_correction: divide images by their receive field first, in the same case; see `rnst_jax.bias`.
        endpoints: share of `rnst_jax.style.align_endpoints`, on the start, if the style has no scalp. Needs ``masked``.
        dark_tail: where native is more than 1, how far dark tones follow the style's in that case, see there.
        strictness: how alike style and image must be in that case, see `rnst_jax.style.likeness`.
        content_from: content target, ``"input"``, ``"denoised"`` or ``"start"``, see `rnst_jax.solvers.Rnst`.
        optimiser: ``"adam"``, ``"torch-lbfgs"`` or ``"optax-lbfgs"``.
        learning_rate: of the optimiser.
        factors: scales of Adam's preconditioner on pixels.
        history: curvature pairs of L-BFGS.
        denoiser: ``"nlm"``, ``"tv"``, ``"wavelet"``, ``"gaussian"``, ``"identity"``, ``"dncnn"``, ``"bm3d"``
            (each as in `rnst_jax.denoise`), or ``"bm3d-package"`` if the package bm3d is installed.
        native: denoise at 1 / native of the resolution, for scans that were zero-filled by that factor; 1: as they are;
            0: `rnst_jax.reconstruct` finds out. It sets shapes, so each is a program of its own.
        apodisation: see `rnst_jax.denoise.AtNativeResolution`, in pixels for native = 2, else (native - 1) times it.
        beyond: where native is more than 1, what is finer counts if it is so many times its noise, see there.
        fine: where native is more than 1, the share in D of non-local means at 0.6 sigma: they smooth less than BM3D.
        whitening: where native is more than 1, the power of the scanner's filter that `denoise.unfiltered` undoes.
        sharpening: what D gives is sharpened by so much, see `rnst_jax.denoise.Sharpened`; not after whitening.
        sigma_factor: the denoiser gets this times the noise's standard deviation.
        denoise: D acts in ``"every"`` outer iteration, in the ``"first"``, or once on the ``"start"``, which is x0
            then; D(x) = x elsewhere.
        completion: steps that fill in what k-space lacks before all else, see `rnst_jax.solvers.complete`; the command
            line takes them where k-space is undersampled.
        in_place: the published code's side effect, see `rnst_jax.solvers.Rnst`.
        channels: 1, or 3 as the published code.
        rescale: min-max rescaling of every iterate, as the published code.
        crop: the command line works on the bounding box of all heads of a scan.
        reduce: see `rnst_jax.priors.Style`; more than 1 only with an intensity map.

    Examples:
        >>> import dataclasses
        >>> dataclasses.replace(get("balanced"), lam=0.5).lam
        0.5
    """

    steps: int = 1
    mu: float = 1.0
    alpha: float = 0.0
    beta: float = 0.5
    lam: float = 0.5
    caution: float = 400.0
    depths: tuple[int, ...] = (40,)
    candidates: int = 1
    refine: int = 0
    keeps_best: bool = False
    parametrisation: Literal["pixels", "map"] = "map"
    knots: int = 16
    stiffness: float = 1.0
    style_weight: float = 20.0
    content_weight: float = 1.0
    smoothing: float = 0.01
    intensity_weight: float = 100.0
    quantile_count: int = 64
    style_taps: tuple[str, ...] = VGG_STYLE_TAPS
    content_taps: tuple[str, ...] = VGG_CONTENT_TAPS
    softmax: bool = False
    temperature: float = 1.0
    distance: Literal["l1", "l2"] = "l1"
    masked: bool = True
    margin: float = 0.013
    rim_gain: float = 1.22
    brain_darkening: float = 1.25
    highlights: float = 1.0
    bias_correction: bool = True
    endpoints: float = 1.0
    dark_tail: float = 0.5
    strictness: float = 10.0
    content_from: Literal["input", "denoised", "start"] = "start"
    optimiser: Literal["adam", "torch-lbfgs", "optax-lbfgs"] = "adam"
    learning_rate: float = 0.05
    factors: tuple[int, ...] = ()
    history: int = 100
    denoiser: Literal["nlm", "tv", "wavelet", "gaussian", "identity", "dncnn", "bm3d", "bm3d-package"] = "bm3d"
    native: float = 0.0
    apodisation: float = 0.8
    beyond: float = 4.0
    fine: float = 1 / 3
    whitening: float = 0.25
    sharpening: float = 0.3
    sigma_factor: float = 1.05
    denoise: Literal["every", "first", "start"] = "start"
    completion: int = 0
    in_place: bool = False
    channels: Literal[1, 3] = 1
    rescale: bool = False
    crop: bool = True
    reduce: int = 2


_PUBLISHED = Config(
    steps=20,
    mu=0.15,
    beta=1.0,
    lam=0.7,
    depths=(520, 620, 720),
    candidates=5,
    refine=20,
    keeps_best=True,
    parametrisation="pixels",
    style_weight=5000.0,
    smoothing=0.0,
    intensity_weight=0.0,
    quantile_count=0,
    masked=False,
    margin=0.0,
    rim_gain=1.0,
    brain_darkening=1.0,
    highlights=0.0,
    whitening=0.0,
    sharpening=0.0,
    sigma_factor=1.0,
    caution=0.0,
    bias_correction=False,
    endpoints=0.0,
    dark_tail=0.0,
    strictness=0.0,
    content_from="input",
    optimiser="torch-lbfgs",
    learning_rate=0.4,
    native=1.0,
    denoise="every",
    crop=False,
    reduce=1,
)

_PRESETS = {
    "fast": Config(depths=(24,)),
    "balanced": Config(),
    "paper": _PUBLISHED,
    "upstream": dataclasses.replace(_PUBLISHED, denoise="first", in_place=True, channels=3, rescale=True),
}


def names() -> tuple[str, ...]:
    """The presets' names: ``fast`` and ``balanced`` are for use, ``paper`` and ``upstream`` for parity.

    Examples:
        >>> names()
        ('fast', 'balanced', 'paper', 'upstream')
    """
    return tuple(_PRESETS)


def get(name: str) -> Config:
    """A preset by name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in _PRESETS:
        raise ValueError(f"no preset '{name}'; there are: {', '.join(_PRESETS)}")
    return _PRESETS[name]


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as plain data."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def for_extractor(config: Config, name: str) -> Config:
    """The config with the taps, smoothing and style weight that suit an extractor, see `rnst_jax.style.defaults`.

    The style weight is taken to be one for VGG16 and is multiplied, so do this once.

    Raises:
        ValueError: no such extractor.

    Examples:
        >>> for_extractor(get("fast"), "resnet50").style_taps
        ('relu1', 'layer1', 'layer2', 'layer3')
        >>> for_extractor(get("fast"), "vgg16") == get("fast")
        True
    """
    found = defaults(name)
    return dataclasses.replace(
        config,
        style_taps=found.style_taps,
        content_taps=found.content_taps,
        softmax=found.softmax,
        style_weight=config.style_weight * found.style_factor,
    )
