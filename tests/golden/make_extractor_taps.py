"""Make extractor_taps.npz: taps of torchvision's nine networks with seeded random weights, from PyTorch.

    python tests/golden/make_extractor_taps.py [OUT.npz]        (needs torch, torchvision and numpy only)

The weights are those of ``random_networks.py``, batch-norm statistics included, loaded into torchvision's own models
with ``load_state_dict``; the taps come from forward hooks. Computed in float64, stored as float32. The image of
224 x 224 is grey (copied to three channels), that of 157 x 203 has colours; ImageNet's mean and standard deviation
normalise both. Keys: ``{model}/{size}/{tap}``, each the `digest` of the tap (51,); ``torchvision``, the version.
"""

import pathlib
import sys

import numpy as np
import torch
import torchvision
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from random_networks import SIZES, digest, image, random_state  # noqa: E402

MODELS = ("vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tapped(model: nn.Module) -> dict[str, nn.Module]:
    """The module whose output each tap is."""
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


def taps(model: nn.Module, size: str) -> dict[str, np.ndarray]:
    """The digest of every tap for one image."""
    x = torch.as_tensor(image(size)).double().permute(2, 0, 1).expand(3, -1, -1)
    x = (x - torch.tensor(MEAN).double()[:, None, None]) / torch.tensor(STD).double()[:, None, None]
    found, hooks = {}, []

    def hook(tap: str):
        def keep(_module, _inputs, output: torch.Tensor) -> None:
            found[tap] = digest(output[0].permute(1, 2, 0).numpy())

        return keep

    for tap, module in tapped(model).items():
        hooks.append(module.register_forward_hook(hook(tap)))
    with torch.no_grad():
        # the classifier was left empty
        getattr(model, "features", model)(x[None])
    for handle in hooks:
        handle.remove()
    return found


def main() -> None:
    file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "extractor_taps.npz"
    out: dict[str, np.ndarray] = {"torchvision": np.array(torchvision.__version__)}
    for name in MODELS:
        model = network(name)
        for size in SIZES:
            for tap, value in taps(model, size).items():
                out[f"{name}/{size}/{tap}"] = value.astype(np.float32)
        print(f"{name}: {sum(key.startswith(name + '/') for key in out)} taps", flush=True)
    np.savez_compressed(file, **out)
    print(f"{file}: {file.stat().st_size:,} bytes, torchvision {torchvision.__version__}")


if __name__ == "__main__":
    main()
