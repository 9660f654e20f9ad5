"""DnCNN: a trained convolutional network that predicts the noise."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.features import weights
from rnst_jax.features.layers import convolve
from rnst_jax.precision import wide
from rnst_jax.types import Image, Scalar, pytree

DEPTH, WIDTH = 17, 64

# file, channels of the input, level, floor
VARIANTS = {"conditioned": ("dncnn17n", 2, 0.2, 0.005), "blind": ("dncnn17m", 1, 0.1, 0.02)}


class CircularConvolution(nn.Module):
    """A 3 x 3 convolution that wraps around at the borders, as scico trained its networks."""

    features: int
    use_bias: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        """Convolve, and add the bias if there is one, in the dtype of x."""
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.features))
        wrapped = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        x = convolve(wrapped, kernel.astype(x.dtype))[:, 1:-1, 1:-1]
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)


class Network(nn.Module):
    """The noise in an image: 17 convolutions of 64 channels with ReLUs between them; batch norms are folded in."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        """From the image alone (c = 1), or from the image and a constant channel that holds sigma (c = 2)."""
        for i in range(DEPTH - 1):
            x = nn.relu(CircularConvolution(WIDTH, use_bias=i > 0, name=f"conv{i}")(x))
        return CircularConvolution(1, use_bias=False, name=f"conv{DEPTH - 1}")(x)


@pytree
class DnCNN:
    """D(x, sigma) = x + w (z - N(c z) / c - x), N the network's estimate of the noise; made by `dncnn`.

    ``conditioned``: z is x clipped to [0, 1] and N is told sigma. It behaves as trained on clipped images (scico's
    preprocessing clips): noise that reaches below 0 cost it up to 12 dB, measured. c = min(1, level / sigma) keeps
    sigma within the training's [0, level].

    ``blind``: z = x, and N is not told sigma; it was trained at one level. The image is rescaled to meet that level:
    c = level / max(sigma, floor). Without that, D would over-smooth below the level and leave noise above it.

    Below the floor, where networks change images more than noise does, w = (sigma / floor)^2 lets D go to x; w = 1
    above it. Borders wrap around, as in training. Constants are kept to about 0.01 only, and D is neither symmetric
    nor homogeneous: RED's conditions hold approximately at best.

    Attributes:
        params: kernels (3, 3, in, out) and biases by layer, float32; two input channels make it conditioned.
        level: the largest sigma of the training (conditioned), or its only one (blind).
        floor: the sigma below which D goes to x.

    Source: Zhang, Zuo, Chen, Meng and Zhang, IEEE TIP 26 (2017); parameters and the noise channel from scico 0.0.7
    (Balke et al., J. Open Source Softw. 7 (2022)).
    """

    params: dict[str, dict[str, Array]]
    level: Scalar
    floor: Scalar

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image in [0, 1].

        Args:
            x: the image; any real floating dtype, which is also the result's. The network runs in float32 or wider.
            sigma: in units of x, 0 or more.

        Raises:
            TypeError: x is no array of real floating numbers.
        """
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"DnCNN takes images of real floating numbers in [0, 1], not {x.dtype}; convert it first")
        full = wide(x)
        sigma = jnp.asarray(sigma, full.dtype)
        floored = jnp.maximum(sigma, self.floor)
        conditioned = self.params["conv0"]["kernel"].shape[2] == 2
        z = jnp.clip(full, 0, 1) if conditioned else full
        scale = self.level / (jnp.maximum(sigma, self.level) if conditioned else floored)
        channels = [scale * z] + conditioned * [jnp.full_like(z, 1) * scale * floored]
        noise = Network().apply({"params": self.params}, jnp.stack(channels, -1)[None])
        estimate = z - noise[0, ..., 0] / scale  # type: ignore[index]
        weight = jnp.square(jnp.minimum(sigma / self.floor, 1))
        return (full + weight * (estimate - full)).astype(x.dtype)


def dncnn(variant: str = "conditioned") -> DnCNN:
    """DnCNN with 17 layers and the trained parameters that come with the package, after their sha256 was checked.

    Args:
        variant: ``"conditioned"`` (sigma is an input; trained for 0 to 0.2) or ``"blind"`` (trained at 0.1). On
            phantom and MNI152 slices with sigma 0.02 to 0.2 conditioned was better by up to 2.7 dB, and never worse
            by more than 0.2 dB.

    Raises:
        ValueError: no such variant.
        WeightsError: the file is missing or damaged.

    Examples:
        >>> import jax.numpy as jnp
        >>> dncnn()(jnp.full((8, 8), 0.5), 0.1).round(1).tolist()[0][:2]
        [0.5, 0.5]
    """
    if variant not in VARIANTS:
        raise ValueError(f"no DnCNN variant '{variant}'; there are: {', '.join(VARIANTS)}")
    name, channels, level, floor = VARIANTS[variant]
    widths = [channels, *[WIDTH] * (DEPTH - 1), 1]
    shapes: dict[str, tuple[int, ...]] = {f"conv{i}.kernel": (3, 3, widths[i], widths[i + 1]) for i in range(DEPTH)}
    shapes |= {f"conv{i}.bias": (WIDTH,) for i in range(1, DEPTH - 1)}
    params: dict[str, dict[str, Array]] = {f"conv{i}": {} for i in range(DEPTH)}
    for tensor, values in weights.read(weights.verify(name), shapes).items():
        layer, kind = tensor.split(".")
        params[layer][kind] = jnp.asarray(values)
    return DnCNN(params, level, floor)
