"""VGG convolutions in Flax, cut after the deepest tap.

Tap names: ``conv{b}_{i}`` is the i-th convolution of block b before its ReLU, ``relu{b}_{i}`` after it,
``pool{b}`` the max pooling that ends block b. Source: Simonyan and Zisserman, ICLR 2015, configuration D.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# ImageNet statistics of the channels, as torchvision's models expect them.
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])

# (width, convolutions) per block
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def tap_names(blocks: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """All taps of a VGG, shallowest first.

    Example:
        >>> tap_names(((64, 2),))
        ('conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1')
    """
    names = []
    for b, (_, count) in enumerate(blocks, 1):
        for i in range(1, count + 1):
            names += [f"conv{b}_{i}", f"relu{b}_{i}"]
        names.append(f"pool{b}")
    return tuple(names)


def _same(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@jax.custom_vjp
def convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "k k c f"]) -> Float[Array, "b h w f"]:
    """3 x 3 convolution with stride 1 and zero padding, with its gradient written as the same kind of convolution.

    dL/dx is the convolution of dL/dy with the kernel turned by 180 degrees, inputs and outputs swapped. Left to
    itself, XLA meets that swap as a layout and, inside a loop on CPU, falls back to a path six times slower.
    """
    return _same(x, kernel)


def _forwards(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _same(x, kernel), (x, kernel)


def _backwards(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    (dkernel,) = jax.linear_transpose(lambda kernel: _same(x, kernel), kernel)(g)
    return _same(g, kernel[::-1, ::-1].swapaxes(2, 3)), dkernel


convolve.defvjp(_forwards, _backwards)


def _max_pool(x: Array) -> Array:
    """2 x 2 max pooling with stride 2; an odd last row or column is dropped, as in torch.

    As two maxima of strided views: the gradient of ``reduce_window`` is some twenty times slower on CPU.
    """
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


class FirstConvolution(nn.Module):
    """Normalisation by the ImageNet statistics and conv1_1, in one.

    The network pads the normalised image with zeros, so a grey image x, copied to three channels, gives

        sum_c k_c * (x - m_c)/s_c = (sum_c k_c / s_c) * x  -  (sum_c k_c m_c / s_c) * 1

    where * pads with zeros and 1 is an image of ones: exact at the borders too, with one channel instead of three.
    """

    features: int

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        """Grey (c = 1) or colour (c = 3) images in [0, 1] to the first features before the ReLU."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, 3, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        scaled = (kernel / STD[:, None]).astype(images.dtype)
        shift = (kernel * (MEAN / STD)[:, None]).sum(2, keepdims=True).astype(images.dtype)
        if images.shape[-1] == 1:
            scaled = scaled.sum(2, keepdims=True)
        ones = jnp.ones((1, *images.shape[1:3], 1), images.dtype)
        return convolve(images, scaled) - convolve(ones, shift) + bias.astype(images.dtype)


class Convolution(nn.Module):
    """A 3 x 3 convolution with bias, computed in the dtype of its input."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        """Convolve, add the bias."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)


class Vgg(nn.Module):
    """VGG features at the taps asked for; nothing above the deepest tap is computed."""

    blocks: tuple[tuple[int, int], ...]
    taps: tuple[str, ...]

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Features of grey or colour images in [0, 1] by tap name, in the dtype of the images."""
        wanted, found, x = set(self.taps), {}, images
        for b, (width, count) in enumerate(self.blocks, 1):
            for i in range(1, count + 1):
                name = f"conv{b}_{i}"
                layer = FirstConvolution if (b, i) == (1, 1) else Convolution
                found[name] = layer(width, name=name)(x)
                x = found[f"relu{b}_{i}"] = nn.relu(found[name])
                if wanted <= found.keys():
                    return {tap: found[tap] for tap in self.taps}
            x = found[f"pool{b}"] = _max_pool(x)
            if wanted <= found.keys():
                return {tap: found[tap] for tap in self.taps}
        raise ValueError(f"no such tap: {', '.join(sorted(wanted - found.keys()))}")
