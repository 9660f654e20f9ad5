"""State dicts of others under one naming: torchvision's, with every batch norm folded into its convolution."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from rnst_jax.features.catalogue import MODELS, NORM, Model, find
from rnst_jax.features.weights import WeightsError

EPSILON = 1e-5
"""The constant under the root of torch's batch norms; torchvision, timm and Hugging Face leave it at its default."""

WRAPPERS = ("module.", "model.", "backbone.", "resnet.", "timm_model.", "_orig_mod.")
"""Prefixes that data parallelism, compilation, training code or a Hugging Face model put before every name."""

HEADS = ("fc.", "classifier.", "head.", "pre_logits.")
"""The classifiers on top, in torchvision, timm and Hugging Face; in a Sequential of a ResNet's children it is the 9."""

LISTED = 10
"""Complaints that an error spells out; the others are counted."""


def canonical(name: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict under torchvision's names, its batch norms folded.

    Understood are the names of torchvision, timm and Hugging Face (``ResNetForImageClassification``), and of a
    ``Sequential`` of a ResNet's children as in the files of RadImageNet, each with prefixes such as ``module.``.
    Classifiers and ``num_batches_tracked`` are left out. A convolution k, b followed by a batch norm becomes

        k' = gamma / sqrt(var + 1e-5) * k,    b' = gamma / sqrt(var + 1e-5) * (b - mean) + beta

    computed in float64.

    Args:
        name: the network, a key of `rnst_jax.features.MODELS`.
        tensors: the state dict, weights as torch lays them out (outputs, inputs, height, width), any real float type.

    Returns:
        float32 ``{convolution}.weight`` and ``{convolution}.bias`` for every convolution, in network order.

    Raises:
        ValueError: unknown name.
        WeightsError: another model, tensors missing or left over, wrong shapes or types, values that are not finite,
            negative variances; the message lists what is wrong.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> shapes = MODELS["resnet18"].state_dict_shapes()
        >>> state = {f"module.{tensor}": rng.random(shape, np.float32) for tensor, shape in shapes.items()}
        >>> folded = canonical("resnet18", state)
        >>> list(folded)[:2], folded["conv1.bias"].dtype
        (['conv1.weight', 'conv1.bias'], dtype('float32'))
    """
    model, named, wrong = find(name), {}, []
    for original, tensor in tensors.items():
        torchvision = _torchvision(original, model.family)
        if torchvision is None:
            continue
        if torchvision in named:
            wrong.append(f"{original} is {torchvision} once more")
        named[torchvision] = tensor
    wrong += _complaints(model.state_dict_shapes(), named)
    if wrong:
        listed = "; ".join(wrong[:LISTED]) + (f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else "")
        other = _other(named)
        remedy = f"it looks like {other}: give that name" if other not in (None, name) else "is it the right model?"
        raise WeightsError(f"no weights of {name}: {listed}; {remedy}")
    with np.errstate(over="ignore"):
        folded = dict(_fold(model, named))
    overflown = [
        f"{tensor} overflows float32 when its norm is folded" for tensor, a in folded.items() if not _finite(a)
    ]
    if overflown:
        raise WeightsError(f"no weights of {name}: {'; '.join(overflown[:LISTED])} ({len(overflown)} in all)")
    return folded


def _torchvision(name: str, family: str) -> str | None:
    """torchvision's name of a tensor; None where the features do not need it."""
    while prefix := next((prefix for prefix in WRAPPERS if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    if name.startswith(HEADS) or name.endswith(".num_batches_tracked"):
        return None
    if family == "resnet":
        if re.match(r"9\.", name):
            return None
        name = re.sub(r"^([01])\.", lambda found: ("conv1.", "bn1.")[int(found[1])], name)
        name = re.sub(r"^([4-7])\.", lambda found: f"layer{int(found[1]) - 3}.", name)
        name = _hugging_face(name)
    return name


def _hugging_face(name: str) -> str:
    """torchvision's name for the name of a tensor in a Hugging Face ResNet; other names as they are."""
    if found := re.fullmatch(r"embedder\.embedder\.(convolution|normalization)\.(\w+)", name):
        return f"{'conv1' if found[1] == 'convolution' else 'bn1'}.{found[2]}"
    if found := re.fullmatch(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.+)\.(convolution|normalization)\.(\w+)", name):
        stage, block, part, kind, tensor = found.groups()
        if part == "shortcut":
            return f"layer{int(stage) + 1}.{block}.downsample.{int(kind == 'normalization')}.{tensor}"
        if number := re.fullmatch(r"layer\.(\d+)", part):
            module = "conv" if kind == "convolution" else "bn"
            return f"layer{int(stage) + 1}.{block}.{module}{int(number[1]) + 1}.{tensor}"
    return name


def _complaints(shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> Iterable[str]:
    """Everything that is wrong with tensors that ought to have these shapes, the telling things first."""
    yield from (f"{name} is missing" for name in shapes if name not in tensors)
    yield from (f"{name} is too many" for name in tensors if name not in shapes)
    for name, shape in shapes.items():
        if name not in tensors:
            continue
        tensor = tensors[name]
        if tensor.shape != shape:
            yield f"{name} is {tensor.shape}, expected {shape}"
        elif not np.issubdtype(tensor.dtype, np.floating):
            yield f"{name} is {tensor.dtype}, expected float32"
        elif not _finite(tensor):
            yield f"{name} holds values that are not finite"
        elif name.endswith(".running_var") and tensor.min() < 0:
            yield f"{name} holds negative variances"


def _other(tensors: Mapping[str, np.ndarray]) -> str | None:
    """The model that has exactly these tensors."""
    found = {name: tensor.shape for name, tensor in tensors.items()}
    return next((name for name, model in MODELS.items() if model.state_dict_shapes() == found), None)


def _fold(model: Model, tensors: Mapping[str, np.ndarray]) -> Iterable[tuple[str, np.ndarray]]:
    for conv in model.convolutions:
        kernel = tensors[f"{conv.name}.weight"].astype(np.float64)
        # a ResNet's convolutions have none
        bias = np.asarray(tensors.get(f"{conv.name}.bias", np.zeros(conv.shape[0])), np.float64)
        if conv.norm is not None:
            gamma, beta, mean, var = (tensors[f"{conv.norm}.{part}"].astype(np.float64) for part in NORM)
            scale = gamma / np.sqrt(var + EPSILON)
            kernel, bias = kernel * scale[:, None, None, None], (bias - mean) * scale + beta
        yield f"{conv.name}.weight", kernel.astype(np.float32)
        yield f"{conv.name}.bias", bias.astype(np.float32)


def _finite(tensor: np.ndarray) -> bool:
    return bool(np.isfinite(tensor).all())
