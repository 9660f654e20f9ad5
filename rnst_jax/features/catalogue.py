"""The nine networks as data: their convolutions as torchvision names them, and their taps.

Tap names, shallowest first:

- VGG (Simonyan and Zisserman, ICLR 2015, configurations D and E): ``conv{b}_{i}`` is convolution i of block b before
  its ReLU and, with batch norm, after the norm; ``relu{b}_{i}`` follows it; ``pool{b}`` ends block b.
- ResNet (He et al., CVPR 2016; the stride is on the 3 x 3 convolution, as in torchvision): ``conv1`` is the first
  convolution after its norm, ``relu1`` follows it; ``layer{s}.{i}`` is the output of block i (from 0) of stage s after
  its ReLU, and ``layer{s}`` that of the stage's last block.
"""

import dataclasses

SERVER = "https://download.pytorch.org/models/"


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution.

    Attributes:
        name: its module in torchvision's model; ``{name}.weight`` and ``{name}.bias`` are its tensors.
        layer: its key in an extractor's params.
        shape: of the weight: outputs, inputs, height, width.
        norm: torchvision's name of the batch norm that follows it, None where there is none.
    """

    name: str
    layer: str
    shape: tuple[int, int, int, int]
    norm: str | None


@dataclasses.dataclass(frozen=True)
class Model:
    """A network.

    Attributes:
        name: as in torchvision.
        family: ``"vgg"`` or ``"resnet"``.
        blocks: (width, convolutions) of each block of a VGG, (width, residual blocks) of each stage of a ResNet.
        bottleneck: the residual blocks have three convolutions (1 x 1, 3 x 3, 1 x 1), not two (3 x 3).
        norm: the convolutions are followed by batch norms.
        file: torchvision's file of ImageNet weights; the last part of its stem is the start of its sha256.
        convolutions: all of them, in the order of the computation; a block's shortcut is its last.
        taps: for each tap, how many of the convolutions it needs.
    """

    name: str
    family: str
    blocks: tuple[tuple[int, int], ...]
    bottleneck: bool
    norm: bool
    file: str
    convolutions: tuple[Convolution, ...]
    taps: dict[str, int]

    @property
    def url(self) -> str:
        """Where torchvision's file is.

        Examples:
            >>> MODELS["resnet18"].url
            'https://download.pytorch.org/models/resnet18-f37072fd.pth'
        """
        return SERVER + self.file

    @property
    def sha256_prefix(self) -> str:
        """The first digits of the sha256 of torchvision's file.

        Examples:
            >>> MODELS["resnet18"].sha256_prefix
            'f37072fd'
        """
        return self.file.removesuffix(".pth").rpartition("-")[2]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors in a converted file: a weight and a bias for each convolution.

        Examples:
            >>> list(MODELS["resnet18"].shapes().items())[:2]
            [('conv1.weight', (64, 3, 7, 7)), ('conv1.bias', (64,))]
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for conv in self.convolutions:
            shapes |= {f"{conv.name}.weight": conv.shape, f"{conv.name}.bias": conv.shape[:1]}
        return shapes

    def state_dict_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors of torchvision's state dict below the classifier, batch norms not folded.

        Examples:
            >>> list(MODELS["resnet18"].state_dict_shapes())[:3]
            ['conv1.weight', 'bn1.weight', 'bn1.bias']
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for conv in self.convolutions:
            shapes[f"{conv.name}.weight"] = conv.shape
            if self.family == "vgg":
                shapes[f"{conv.name}.bias"] = conv.shape[:1]
            if conv.norm is not None:
                shapes |= {f"{conv.norm}.{part}": conv.shape[:1] for part in NORM}
        return shapes


NORM = ("weight", "bias", "running_mean", "running_var")
"""The tensors of a batch norm."""

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


def _vgg(name: str, blocks: tuple[tuple[int, int], ...], norm: bool, digits: str) -> Model:
    convolutions, taps, index, inputs = [], {}, 0, 3
    for b, (width, count) in enumerate(blocks, 1):
        for i in range(1, count + 1):
            layer = f"conv{b}_{i}"
            after = f"features.{index + 1}" if norm else None
            convolutions.append(Convolution(f"features.{index}", layer, (width, inputs, 3, 3), after))
            taps |= {layer: len(convolutions), f"relu{b}_{i}": len(convolutions)}
            # in between are the norm, if any, and the ReLU
            index, inputs = index + 2 + norm, width
        taps[f"pool{b}"] = len(convolutions)
        index += 1
    return Model(name, "vgg", blocks, False, norm, f"{name}-{digits}.pth", tuple(convolutions), taps)


def _resnet(name: str, counts: tuple[int, ...], bottleneck: bool, digits: str) -> Model:
    convolutions = [Convolution("conv1", "conv1", (64, 3, 7, 7), "bn1")]
    taps = {"conv1": 1, "relu1": 1}

    def add(block: str, module: str, norm: str, shape: tuple[int, int, int, int]) -> None:
        convolutions.append(Convolution(f"{block}.{module}", f"{block}.{module}", shape, f"{block}.{norm}"))

    inputs, blocks = 64, tuple((64 * 2**s, count) for s, count in enumerate(counts))
    for s, (width, count) in enumerate(blocks, 1):
        for i in range(count):
            block, outputs = f"layer{s}.{i}", 4 * width if bottleneck else width
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            widths = (inputs, *[width] * (len(kernels) - 1), outputs)
            for n, k in enumerate(kernels, 1):
                add(block, f"conv{n}", f"bn{n}", (widths[n], widths[n - 1], k, k))
            if i == 0 and (s > 1 or inputs != outputs):
                add(block, "downsample.0", "downsample.1", (outputs, inputs, 1, 1))
            taps[block], inputs = len(convolutions), outputs
        taps[f"layer{s}"] = len(convolutions)
    return Model(name, "resnet", blocks, bottleneck, True, f"{name}-{digits}.pth", tuple(convolutions), taps)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _vgg("vgg16", VGG16, False, "397923af"),
        _vgg("vgg16_bn", VGG16, True, "6c64b313"),
        _vgg("vgg19", VGG19, False, "dcbb9e9d"),
        _vgg("vgg19_bn", VGG19, True, "c79401a0"),
        _resnet("resnet18", (2, 2, 2, 2), False, "f37072fd"),
        _resnet("resnet34", (3, 4, 6, 3), False, "b627a593"),
        _resnet("resnet50", (3, 4, 6, 3), True, "0676ba61"),
        _resnet("resnet101", (3, 4, 23, 3), True, "63fe2227"),
        _resnet("resnet152", (3, 8, 36, 3), True, "394f9c45"),
    )
}
"""The extractors by name."""


def find(name: str) -> Model:
    """The model of a name.

    Raises:
        ValueError: there is none; the message lists those that there are.

    Examples:
        >>> find("resnet50").taps["layer1.0"]
        5
    """
    if name not in MODELS:
        raise ValueError(f"unknown extractor '{name}'; there are: {', '.join(MODELS)}")
    return MODELS[name]
