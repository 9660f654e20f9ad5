"""Residual networks in Flax, cut after the deepest tap; batch norms are folded into the weights.

Source: He et al., CVPR 2016, with the stride of a bottleneck on its 3 x 3 convolution, as torchvision has it ("v1.5").
Taps: see `rnst_jax.features.catalogue`.
"""

from collections.abc import Iterator

import flax.linen as nn
from jaxtyping import Array, Float

from rnst_jax.features import layers


class ResNet(nn.Module):
    """ResNet features at the taps asked for; nothing above the deepest tap is computed.

    Attributes:
        blocks: (width, residual blocks) of each stage.
        bottleneck: three convolutions per block, not two.
        taps: the features wanted.
        pooling: ``"max"`` or ``"average"``, of the one pooling layer after ``relu1``.
    """

    blocks: tuple[tuple[int, int], ...]
    bottleneck: bool
    taps: tuple[str, ...]
    pooling: str = "max"

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Features of grey or colour images in [0, 1] by tap name, in the dtype of the images."""
        return layers.collect(self.taps, _features(images, self.blocks, self.bottleneck, self.pooling))


def _features(
    x: Array, blocks: tuple[tuple[int, int], ...], bottleneck: bool, pooling: str
) -> Iterator[tuple[str, Array]]:
    x = layers.FirstConvolution(64, 7, 2, name="conv1")(x)
    yield "conv1", x
    x = nn.relu(x)
    yield "relu1", x
    x = layers.pool3(x, pooling)
    for s, (width, count) in enumerate(blocks, 1):
        for i in range(count):
            x = _block(x, f"layer{s}.{i}", width, 2 if s > 1 and i == 0 else 1, bottleneck)
            yield f"layer{s}.{i}", x
        yield f"layer{s}", x


def _block(x: Array, name: str, width: int, stride: int, bottleneck: bool) -> Array:
    """relu(x + F(x)), with a 1 x 1 convolution of x where F changes its shape."""
    if bottleneck:
        outputs = 4 * width
        y = nn.relu(layers.Convolution(width, 1, name=f"{name}.conv1")(x))
        y = nn.relu(layers.Convolution(width, 3, stride, name=f"{name}.conv2")(y))
        y = layers.Convolution(outputs, 1, name=f"{name}.conv3")(y)
    else:
        outputs = width
        y = nn.relu(layers.Convolution(width, 3, stride, name=f"{name}.conv1")(x))
        y = layers.Convolution(outputs, 3, name=f"{name}.conv2")(y)
    if x.shape != y.shape:
        x = layers.Convolution(outputs, 1, stride, name=f"{name}.downsample.0")(x)
    return nn.relu(x + y)
