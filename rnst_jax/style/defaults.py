"""What a style loss needs to know of each extractor: taps, smoothing, weight."""

import dataclasses

from rnst_jax.style.losses import VGG_CONTENT_TAPS, VGG_STYLE_TAPS


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Settings of a `rnst_jax.style.StyleLoss` for one extractor.

    Attributes:
        style_taps: taps of the Gram term.
        content_taps: taps of the content term.
        softmax: smooth the activations.
        style_factor: multiplies the style weight that was chosen for VGG16.
    """

    style_taps: tuple[str, ...]
    content_taps: tuple[str, ...]
    softmax: bool
    style_factor: float


_VGG = Defaults(VGG_STYLE_TAPS, VGG_CONTENT_TAPS, softmax=False, style_factor=1.0)

# Smoothed features have mean 1, hence Grams of about 1 / C and a sum over the taps of 0.043 (C = 64, 64, 128, 256) or
# 0.023 (64, 256, 512, 1024) for a content of 1. On 18 head slices of 0.055 T and 3 T the same ratio was 0.23 in the
# median for VGG16. The factors bring the first to the second; no pretrained ResNet was used to tune them.
_BASIC, _BOTTLENECK = (
    Defaults(("relu1", "layer1", "layer2", "layer3"), ("layer1",), softmax=True, style_factor=factor)
    for factor in (5.0, 10.0)
)

_DEFAULTS = {
    "vgg16": _VGG,
    "vgg16_bn": _VGG,
    "vgg19": _VGG,
    "vgg19_bn": _VGG,
    "resnet18": _BASIC,
    "resnet34": _BASIC,
    "resnet50": _BOTTLENECK,
    "resnet101": _BOTTLENECK,
    "resnet152": _BOTTLENECK,
}


def defaults(name: str) -> Defaults:
    """The defaults for an extractor by name.

    VGG: the published taps, without smoothing. ResNet: the stem and the first three stages, smoothed; the content is
    the first stage.

    Raises:
        ValueError: there are none for that name.

    Examples:
        >>> defaults("resnet50").content_taps
        ('layer1',)
    """
    if name not in _DEFAULTS:
        raise ValueError(f"no style defaults for the extractor '{name}'; there are: {', '.join(_DEFAULTS)}")
    return _DEFAULTS[name]
