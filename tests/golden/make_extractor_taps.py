"""Make extractor_taps.npz: taps of torchvision's nine networks with seeded random weights, from PyTorch.

    python -m tests.golden.make_extractor_taps [OUT.npz]    (from the root; needs torch, torchvision and numpy only)

The weights are those of ``random_networks.py``, batch-norm statistics included, loaded into torchvision's own models
with ``load_state_dict``; the taps come from forward hooks. Computed in float64, stored as float32. The image of
224 x 224 is grey (copied to three channels), that of 157 x 203 has colours; ImageNet's mean and standard deviation
normalise both. Keys:

- ``{model}/{size}/{tap}`` (51,): the `digest` of the tap;
- ``resnet18/gradient`` (37, 30): of the mean square of ``layer2.0``, with respect to the `PATCH` of the grey image (so
  the sum over its three copies);
- ``torchvision`` (): the version.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from tests.golden.random_networks import PATCH, SIZES, digest, image, random_state

if TYPE_CHECKING:
    import torch
    from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ("vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tapped(model: nn.Module) -> dict[str, nn.Module]:
    """The module whose output each tap is."""
    import torchvision
    from torch import nn

    if isinstance(model, torchvision.models.ResNet):
        taps = {"conv1": model.bn1, "relu1": model.relu}
        for s in range(1, 5):
            stage = model.get_submodule(f"layer{s}")
            taps |= {f"layer{s}.{i}": block for i, block in enumerate(stage)} | {f"layer{s}": stage}
        return taps
    taps, b, i = {}, 1, 1
    for module in model.features:
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            # where there is a norm it comes after its convolution and takes its place
            taps[f"conv{b}_{i}"] = module
        elif isinstance(module, nn.ReLU):
            taps[f"relu{b}_{i}"] = module
            i += 1
        else:
            taps[f"pool{b}"] = module
            b, i = b + 1, 1
    return taps


def network(name: str) -> nn.Module:
    """torchvision's model with the seeded weights, in float64; its classifier is empty."""
    import torch
    import torchvision
    from torch import nn

    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None)
    model.to_empty(device="cpu")
    shapes = {key: tuple(t.shape) for key, t in model.state_dict().items() if not key.endswith(".num_batches_tracked")}
    features = {key: shape for key, shape in shapes.items() if not key.startswith(("classifier.", "fc."))}
    missing = model.load_state_dict(
        {key: torch.as_tensor(value) for key, value in random_state(name, features).items()}, strict=False
    )
    assert not missing.unexpected_keys
    assert all(k.startswith(("classifier.", "fc.")) or k.endswith("tracked") for k in missing.missing_keys)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            # in place it would overwrite the tap before it
            module.inplace = False
    return model.double().eval()


def forward(model: nn.Module, picture: torch.Tensor, taps: list[str]) -> dict[str, torch.Tensor]:
    """Features (C, h, w) by tap of an image (height, width, 1 or 3)."""
    import torch

    x = picture.permute(2, 0, 1).expand(3, -1, -1)
    x = (x - torch.tensor(MEAN).double()[:, None, None]) / torch.tensor(STD).double()[:, None, None]
    found, modules = {}, tapped(model)
    handles = [
        modules[tap].register_forward_hook(lambda _module, _inputs, output, tap=tap: found.update({tap: output[0]}))
        for tap in taps
    ]
    # a VGG's classifier was left empty, and a ResNet's comes after the taps
    getattr(model, "features", model)(x[None])
    for handle in handles:
        handle.remove()
    return found


def main() -> None:
    import torch
    import torchvision

    file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "extractor_taps.npz"
    out: dict[str, np.ndarray] = {"torchvision": np.array(torchvision.__version__)}
    for name in MODELS:
        model = network(name)
        for size in SIZES:
            with torch.no_grad():
                found = forward(model, torch.as_tensor(image(size)).double(), list(tapped(model)))
            for tap, value in found.items():
                out[f"{name}/{size}/{tap}"] = digest(value.permute(1, 2, 0).numpy()).astype(np.float32)
        if name == "resnet18":
            patch = torch.as_tensor(image("224x224")[PATCH]).double().requires_grad_(True)
            forward(model, patch, ["layer2.0"])["layer2.0"].square().mean().backward()
            out["resnet18/gradient"] = patch.grad[..., 0].float().numpy()
        print(f"{name}: {sum(key.startswith(name + '/') for key in out)} taps", flush=True)
    np.savez_compressed(file, **out)
    print(f"{file}: {file.stat().st_size:,} bytes, torchvision {torchvision.__version__}")


if __name__ == "__main__":
    main()
