"""A feature extractor: a network and its weights as one pytree, called by tap names."""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.features import vgg
from rnst_jax.features import weights as files
from rnst_jax.types import pytree

BLOCKS = {"vgg16": vgg.VGG16}


@pytree
class Extractor:
    """A frozen feature extractor.

    Attributes:
        params: the weights, by layer; leaves of the pytree.
        name: which network.

    Example:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> extractor = rnst.features.load("vgg16")
        >>> features = extractor(jnp.zeros((2, 32, 40, 1)), ("conv1_1", "conv2_2"))
        >>> features["conv2_2"].shape
        (2, 16, 20, 128)
    """

    params: dict[str, dict[str, Array]]
    name: str = jax.tree.static(default="vgg16")

    def __call__(self, images: Float[Array, "b h w c"], taps: Sequence[str]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Features of a batch of images.

        Args:
            images: (B, H, W, 1) or (B, H, W, 3) in [0, 1]; the computation runs in their dtype.
            taps: names of the features wanted, see `rnst_jax.features.vgg`.

        Returns:
            (B, h, w, C) features by tap name.

        Raises:
            ValueError: unknown tap, a tap above the weights that were loaded, or not 1 or 3 channels.
        """
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise ValueError(f"images must be (batch, height, width, 1 or 3), not {images.shape}")
        self.check(taps)
        network = vgg.Vgg(BLOCKS[self.name], tuple(taps))
        return network.apply({"params": self.params}, images)  # type: ignore[return-value]

    def check(self, taps: Sequence[str]) -> None:
        """Raise ValueError if a tap is unknown or above the weights."""
        known = vgg.tap_names(BLOCKS[self.name])
        for tap in taps:
            if tap not in known:
                raise ValueError(f"{self.name} has no tap '{tap}'; it has {', '.join(known)}")
            needed = [name for name in known[: known.index(tap) + 1] if name.startswith("conv")]
            if needed[-1] not in self.params:
                raise ValueError(f"these {self.name} weights end at {list(self.params)[-1]}, below the tap '{tap}'")


def load(name: str = "vgg16", weights: str | pathlib.Path | None = None) -> Extractor:
    """Load an extractor with its weights.

    Args:
        name: the network, ``"vgg16"``.
        weights: a safetensors file with torchvision's tensor names and layout, cut after any convolution;
            by default the packaged one, after its sha256 was checked.

    Returns:
        An extractor that knows the taps up to the file's last convolution.

    Raises:
        ValueError: unknown name.
        WeightsError: the file is missing, damaged or of another model.

    Example:
        >>> list(load("vgg16").params)[-1]
        'conv4_1'
    """
    if name not in BLOCKS:
        raise ValueError(f"unknown extractor '{name}'; there are: {', '.join(BLOCKS)}")
    path = files.verify(name) if weights is None else pathlib.Path(weights)
    layers = _layers(BLOCKS[name], files.names(path))
    tensors = files.read(path, {t: shape for layer in layers.values() for t, shape in layer.items()})
    params = {}
    for tap, layer in layers.items():
        kernel, bias = (tensors[tensor] for tensor in layer)
        params[tap] = {"kernel": jnp.asarray(kernel.transpose(2, 3, 1, 0)), "bias": jnp.asarray(bias)}
    return Extractor(params, name)


def _layers(blocks: Sequence[tuple[int, int]], present: set[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """torchvision's tensor names and shapes of each convolution, down to the deepest one in the file."""
    layers, index, channels, deepest = {}, 0, 3, 1
    for b, (width, count) in enumerate(blocks, 1):
        for i in range(1, count + 1):
            layers[f"conv{b}_{i}"] = {
                f"features.{index}.weight": (width, channels, 3, 3),
                f"features.{index}.bias": (width,),
            }
            if f"features.{index}.weight" in present:
                deepest = len(layers)
            index, channels = index + 2, width
        index += 1
    return dict(list(layers.items())[:deepest])
