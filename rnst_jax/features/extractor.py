"""A feature extractor: a network and its weights as one pytree, called by tap names."""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rnst_jax.features import layers, resnet, vgg
from rnst_jax.features import weights as files
from rnst_jax.features.catalogue import MODELS, Model, find
from rnst_jax.types import pytree


@pytree
class Extractor:
    """A frozen feature extractor.

    Attributes:
        params: the weights, by layer; leaves of the pytree.
        name: which network, a key of `rnst_jax.features.MODELS`.
        pooling: ``"max"``, as the networks were trained, or ``"average"``.
        dtype: the dtype that images are cast to; None computes in theirs.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> extractor = rnst.features.load("vgg16")
        >>> features = extractor(jnp.zeros((2, 32, 40, 1)), ("conv1_1", "conv2_2"))
        >>> features["conv2_2"].shape
        (2, 16, 20, 128)
    """

    params: dict[str, dict[str, Array]]
    name: str = jax.tree.static(default="vgg16")
    pooling: str = jax.tree.static(default="max")
    dtype: np.dtype | None = jax.tree.static(default=None)

    def __call__(self, images: Float[Array, "b h w c"], taps: Sequence[str]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Features of a batch of images.

        Args:
            images: (B, H, W, 1) or (B, H, W, 3) in [0, 1]; the computation runs in their dtype, or in ``dtype``.
            taps: names of the features wanted, see `rnst_jax.features.catalogue`.

        Returns:
            (B, h, w, C) features by tap name.

        Raises:
            ValueError: unknown tap, a tap above the weights that were loaded, or not 1 or 3 channels.
        """
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(f"images must be (batch, height, width, 1 or 3), not {images.shape}")
        self.check(taps)
        model, taps = MODELS[self.name], tuple(taps)
        if model.family == "vgg":
            network = vgg.Vgg(model.blocks, taps, self.pooling)
        else:
            network = resnet.ResNet(model.blocks, model.bottleneck, taps, self.pooling)
        if self.dtype is not None:
            images = images.astype(self.dtype)
        return network.apply({"params": self.params}, images)  # type: ignore[return-value]

    def check(self, taps: Sequence[str]) -> None:
        """Raise ValueError if a tap is unknown or above the weights."""
        model = MODELS[self.name]
        _known(model, taps)
        for tap in taps:
            below = model.convolutions[: model.taps[tap]]
            if below[-1].layer not in self.params:
                deepest = [conv.layer for conv in below if conv.layer in self.params][-1]
                raise ValueError(f"these {self.name} weights end at {deepest}, below the tap '{tap}'")


def load(
    name: str = "vgg16",
    weights: str | pathlib.Path | None = None,
    dtype: DTypeLike | None = None,
    pooling: str = "max",
    taps: Sequence[str] | None = None,
) -> Extractor:
    """Load an extractor with its weights.

    Args:
        name: the network: ``vgg16``, ``vgg16_bn``, ``vgg19``, ``vgg19_bn``, ``resnet18``, ``resnet34``, ``resnet50``,
            ``resnet101`` or ``resnet152``.
        weights: a converted safetensors file: torchvision's names and layout, batch norms folded, possibly cut after
            any convolution; by default the packaged one, after its sha256 was checked.
        dtype: compute in this dtype (``jnp.bfloat16``, say) whatever that of the images; by default in theirs.
        pooling: ``"max"`` as the networks were trained, or ``"average"`` (Gatys et al., CVPR 2016).
        taps: load only what these features need; by default all that the file has.

    Returns:
        An extractor that knows the taps up to the file's last convolution, or up to the deepest of ``taps``.

    Raises:
        ValueError: unknown name, pooling or tap, or a tap above the file's last convolution.
        WeightsError: the file is missing, damaged or of another model.

    Examples:
        >>> list(load("vgg16").params)[-1]
        'conv4_1'
        >>> list(load("vgg16", taps=("relu1_2",)).params)
        ['conv1_1', 'conv1_2']
    """
    model = find(name)
    _known(model, taps or ())
    _pooling(pooling)
    path = files.verify(name) if weights is None else pathlib.Path(weights)
    present = files.names(path)
    ends = [n for n, conv in enumerate(model.convolutions, 1) if f"{conv.name}.weight" in present]
    count = max(ends, default=1)
    if taps:
        count = min(count, max(model.taps[tap] for tap in taps))
    wanted = {f"{conv.name}.{part}" for conv in model.convolutions[:count] for part in ("weight", "bias")}
    tensors = files.read(path, {tensor: shape for tensor, shape in model.shapes().items() if tensor in wanted})
    extractor = build(name, tensors, dtype, pooling)
    extractor.check(taps or ())
    return extractor


def build(
    name: str, tensors: Mapping[str, np.ndarray], dtype: DTypeLike | None = None, pooling: str = "max"
) -> Extractor:
    """An extractor of tensors that are in memory.

    Args:
        name: the network.
        tensors: weights and biases as `rnst_jax.features.canonical` returns them; those above the first convolution
            that is not there are left out.
        dtype: as in `load`.
        pooling: as in `load`.

    Raises:
        ValueError: unknown pooling.
    """
    _pooling(pooling)
    params = {}
    for conv in MODELS[name].convolutions:
        if f"{conv.name}.weight" not in tensors:
            break
        kernel, bias = tensors[f"{conv.name}.weight"].transpose(2, 3, 1, 0), tensors[f"{conv.name}.bias"]
        params[conv.layer] = {"kernel": jnp.asarray(kernel, dtype), "bias": jnp.asarray(bias, dtype)}
    return Extractor(params, name, pooling, None if dtype is None else np.dtype(dtype))


def _known(model: Model, taps: Sequence[str]) -> None:
    for tap in taps:
        if tap not in model.taps:
            raise ValueError(f"{model.name} has no tap '{tap}'; it has {', '.join(model.taps)}")


def _pooling(pooling: str) -> None:
    if pooling not in layers.POOLINGS:
        raise ValueError(f"unknown pooling '{pooling}'; there are: {', '.join(layers.POOLINGS)}")
