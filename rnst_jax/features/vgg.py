"""VGG convolutions in Flax, cut after the deepest tap; batch norms are folded into the weights.

Source: Simonyan and Zisserman, ICLR 2015, configurations D (16) and E (19). Taps: see `rnst_jax.features.catalogue`.
"""

from collections.abc import Iterator

import flax.linen as nn
from jaxtyping import Array, Float

from rnst_jax.features import layers


class Vgg(nn.Module):
    """VGG features at the taps asked for; nothing above the deepest tap is computed.

    Attributes:
        blocks: (width, convolutions) of each block.
        taps: the features wanted.
        pooling: ``"max"`` or ``"average"``.
    """

    blocks: tuple[tuple[int, int], ...]
    taps: tuple[str, ...]
    pooling: str = "max"

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Features of grey or colour images in [0, 1] by tap name, in the dtype of the images."""
        return layers.collect(self.taps, _features(images, self.blocks, self.pooling))


def _features(x: Array, blocks: tuple[tuple[int, int], ...], pooling: str) -> Iterator[tuple[str, Array]]:
    for b, (width, count) in enumerate(blocks, 1):
        for i in range(1, count + 1):
            layer = layers.FirstConvolution if (b, i) == (1, 1) else layers.Convolution
            x = layer(width, 3, name=f"conv{b}_{i}")(x)
            yield f"conv{b}_{i}", x
            x = nn.relu(x)
            yield f"relu{b}_{i}", x
        x = layers.pool2(x, pooling)
        yield f"pool{b}", x
