"""The layers that VGG and ResNet share, with gradients that are fast on a CPU inside a loop."""

import functools
from collections.abc import Iterable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# ImageNet statistics of the channels, as torchvision's models expect them.
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])

POOLINGS = ("max", "average")

FEW = 8
"""Channels; cuDNN's matrix products take at least so many at once."""


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "k k c f"], stride: int = 1) -> Float[Array, "b _ _ f"]:
    """Convolution with an odd kernel and k // 2 zeros around the image.

    The output is (ceil(h / stride), ceil(w / stride)), as that of torch's ``conv2d(..., stride, padding=k // 2)``.
    A 1 x 1 kernel is a product of matrices. The gradient of the others is written out: dL/dx is the convolution of
    dL/dy, with stride - 1 zeros between its pixels, with the kernel turned by 180 degrees, inputs and outputs swapped.
    Left to itself, XLA meets that swap as a layout and, inside a loop on CPU, falls back to a path six times slower.

    Examples:
        >>> convolve(jnp.ones((1, 5, 8, 2)), jnp.ones((3, 3, 2, 4)), 2).shape
        (1, 3, 4, 4)
    """
    if kernel.shape[:2] == (1, 1):
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    return _with_gradient(x, kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _with_gradient(x: Array, kernel: Array, stride: int) -> Array:
    return _convolve(x, kernel, stride)


def _forwards(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride), (x, kernel)


def _backwards(stride: int, residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    (dkernel,) = jax.linear_transpose(lambda kernel: _convolve(x, kernel, stride), kernel)(g)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if stride == 1:
        few = x.shape[-1] < FEW
        return _spread(g, kernel) if few else _with_gradient(g, turned, 1), dkernel
    # the last pixels of an even side lie beyond the spread cotangent
    padding = [
        (size // 2, size // 2 + length - 1 - stride * (spread - 1))
        for size, length, spread in zip(kernel.shape[:2], x.shape[1:3], g.shape[1:3], strict=True)
    ]
    dx = jax.lax.conv_general_dilated(
        g, turned, (1, 1), padding, lhs_dilation=(stride, stride), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return dx, dkernel


_with_gradient.defvjp(_forwards, _backwards)


def _spread(g: Array, kernel: Array) -> Array:
    """The same gradient at stride 1 as one product of matrices, whose columns are then shifted and added.

    For few channels in x: a convolution with so few outputs leaves most of a GPU's matrix units idle.
    """
    rows, columns, channels, features = kernel.shape
    height, width = g.shape[1:3]
    weights = kernel.transpose(3, 0, 1, 2).reshape(features, -1)
    parts = (g @ weights).reshape(*g.shape[:3], rows, columns, channels)
    parts = jnp.pad(parts, ((0, 0), 2 * (rows // 2,), 2 * (columns // 2,), (0, 0), (0, 0), (0, 0)))
    shifts = [(rows - 1 - i, columns - 1 - j, i, j) for i in range(rows) for j in range(columns)]
    return sum((parts[:, y : y + height, x : x + width, i, j] for y, x, i, j in shifts), jnp.zeros((), g.dtype))


def pool2(x: Float[Array, "b h w c"], pooling: str) -> Float[Array, "b _ _ c"]:
    """2 x 2 pooling with stride 2; an odd last row or column is dropped, as in torch.

    In strided views. Pixels that share the maximum share its gradient, which is written out: that of ``reduce_window``
    is some twenty times slower on CPU, and that of the views moves more memory.

    Args:
        x: features.
        pooling: ``"max"`` or ``"average"``.
    """
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    if pooling == "max":
        return _max2(x)
    a, b, c, d = _corners(x)
    return (a + b + c + d) / 4


def _blocks(x: Array) -> Array:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels)


def _corners(x: Array) -> list[Array]:
    return [_blocks(x)[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


@jax.custom_vjp
def _max2(x: Array) -> Array:
    return functools.reduce(jnp.maximum, _corners(x))


def _max2_forwards(x: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    largest = _max2(x)
    count = sum(((corner == largest).astype(x.dtype) for corner in _corners(x)), jnp.zeros((), x.dtype))
    return largest, (x, largest, count)


def _max2_backwards(residuals: tuple[Array, Array, Array], g: Array) -> tuple[Array]:
    x, largest, count = residuals
    is_largest = _blocks(x) == largest[:, :, None, :, None]
    # none is if x holds NaN, or if a compiler rounds half precision in one place and not in another
    share = g / jnp.maximum(count, 1)
    return (jnp.where(is_largest, share[:, :, None, :, None], 0).reshape(x.shape),)


_max2.defvjp(_max2_forwards, _max2_backwards)


def pool3(x: Float[Array, "b h w c"], pooling: str) -> Float[Array, "b _ _ c"]:
    """3 x 3 pooling with stride 2 and padding 1, as torch's ``MaxPool2d(3, 2, 1)`` or ``AvgPool2d(3, 2, 1)``.

    The padding never wins a maximum; it counts as zeros in an average. In strided views, as `pool2`.
    """
    # a last row that no window reaches does no harm: the views below stop before it
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf if pooling == "max" else 0.0)
    h, w = ((size - 1) // 2 for size in x.shape[1:3])
    rows = [x[:, i : i + 2 * h - 1 : 2] for i in range(3)]
    if pooling == "max":
        x = jnp.maximum(jnp.maximum(rows[0], rows[1]), rows[2])
        columns = [x[:, :, i : i + 2 * w - 1 : 2] for i in range(3)]
        return jnp.maximum(jnp.maximum(columns[0], columns[1]), columns[2])
    x = rows[0] + rows[1] + rows[2]
    columns = [x[:, :, i : i + 2 * w - 1 : 2] for i in range(3)]
    return (columns[0] + columns[1] + columns[2]) / 9


class FirstConvolution(nn.Module):
    """Normalisation by the ImageNet statistics and the first convolution, in one.

    The network pads the normalised image with zeros, so a grey image x, copied to three channels, gives

        sum_c k_c * (x - m_c)/s_c = (sum_c k_c / s_c) * x  -  (sum_c k_c m_c / s_c) * 1

    where * pads with zeros and 1 is an image of ones: exact at the borders too, with one channel instead of three.
    """

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b _ _ f"]:
        """Grey (c = 1) or colour (c = 3) images in [0, 1] to the first features before the ReLU."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, self.size, 3, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        scaled = (kernel / STD[:, None]).astype(images.dtype)
        shift = (kernel * (MEAN / STD)[:, None]).sum(2, keepdims=True).astype(images.dtype)
        if images.shape[-1] == 1:
            scaled = scaled.sum(2, keepdims=True)
        ones = jnp.ones((1, *images.shape[1:3], 1), images.dtype)
        return convolve(images, scaled, self.stride) - convolve(ones, shift, self.stride) + bias.astype(images.dtype)


class Convolution(nn.Module):
    """A convolution with bias, computed in the dtype of its input."""

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ f"]:
        """Convolve, add the bias."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve(x, kernel.astype(x.dtype), self.stride) + bias.astype(x.dtype)


def collect(taps: Sequence[str], features: Iterable[tuple[str, Array]]) -> dict[str, Array]:
    """The features at the taps asked for; ``features`` is not drawn on after the deepest of them.

    Raises:
        ValueError: a tap that ``features`` does not have.

    Examples:
        >>> collect(("b",), zip("abc", range(3)))
        {'b': 1}
    """
    found = {}
    for tap, value in features:
        if tap in taps:
            found[tap] = value
        if len(found) == len(set(taps)):
            return {tap: found[tap] for tap in taps}
    raise ValueError(f"no such tap: {', '.join(sorted(set(taps) - found.keys()))}")
