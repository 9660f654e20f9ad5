"""State dicts under the names of others give the same weights; wrong ones are refused with what is wrong."""

import re

import numpy as np
import pytest

from rnst_jax import features
from rnst_jax.features import MODELS, WeightsError

from .golden.random_networks import random_state


def state(name):
    return random_state(name, MODELS[name].state_dict_shapes())


@pytest.fixture(scope="module")
def resnet18():
    return state("resnet18")


def timm(tensors):
    counts = {key.rpartition(".")[0] + ".num_batches_tracked": np.int64(7) for key in tensors if "running_var" in key}
    head = {f"{part}.weight": np.zeros((3, 4), np.float32) for part in ("head.fc", "fc", "pre_logits.fc1")}
    return tensors | {key: np.asarray(value) for key, value in counts.items()} | head


def hugging_face(tensors):
    """As `transformers.ResNetForImageClassification` names them."""

    def rename(name):
        module, _, tensor = name.rpartition(".")
        if module in ("conv1", "bn1"):
            return f"resnet.embedder.embedder.{'convolution' if module == 'conv1' else 'normalization'}.{tensor}"
        stage, block, kind, number = re.fullmatch(r"layer(\d)\.(\d+)\.([a-z]+)\.?(\d)", module).groups()
        start = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}"
        if kind == "downsample":
            return f"{start}.shortcut.{('convolution', 'normalization')[int(number)]}.{tensor}"
        return f"{start}.layer.{int(number) - 1}.{'convolution' if kind == 'conv' else 'normalization'}.{tensor}"

    head = {"classifier.1.weight": np.zeros((3, 4), np.float32), "classifier.1.bias": np.zeros(3, np.float32)}
    return {rename(name): tensor for name, tensor in tensors.items()} | head


def radimagenet(tensors):
    """A Sequential of the children conv1, bn1, relu, maxpool, layer1 .. layer4, avgpool."""

    def rename(name):
        name = name.replace("conv1.", "0.", 1) if name.startswith("conv1.") else name
        name = name.replace("bn1.", "1.", 1) if name.startswith("bn1.") else name
        return re.sub(r"^layer(\d)", lambda found: str(int(found[1]) + 3), name)

    return {f"backbone.{rename(name)}": tensor for name, tensor in tensors.items()}


def parallel(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("name", "style", "sample"),
    [
        ("resnet18", timm, "layer2.0.downsample.1.running_mean"),
        ("resnet18", hugging_face, "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_mean"),
        ("resnet50", hugging_face, "resnet.encoder.stages.0.layers.2.layer.2.convolution.weight"),
        ("resnet50", radimagenet, "backbone.4.0.conv1.weight"),
        ("resnet18", lambda tensors: parallel(radimagenet(tensors)), "module.backbone.1.running_mean"),
        ("resnet18", parallel, "module.conv1.weight"),
        ("vgg16_bn", timm, "features.1.running_var"),
        ("vgg16", parallel, "module.features.28.bias"),
    ],
)
def test_names_of_others(name, style, sample):
    expected = features.canonical(name, state(name))
    renamed = style(state(name))
    assert sample in renamed
    found = features.canonical(name, dict(reversed(renamed.items())))
    assert list(found) == list(expected) == list(MODELS[name].shapes())
    for key, tensor in expected.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(found[key], tensor)


@pytest.mark.parametrize(
    ("name", "conv", "norm"), [("resnet18", "conv1", "bn1"), ("vgg16_bn", "features.3", "features.4")]
)
def test_folding(name, conv, norm):
    # one pixel of the convolution, then the batch norm's definition
    tensors = {key: tensor.astype(np.float64) for key, tensor in state(name).items()}
    weight = tensors[f"{conv}.weight"]
    window = np.random.default_rng(0).standard_normal(weight.shape[1:])
    y = (weight * window).sum((1, 2, 3)) + tensors.get(f"{conv}.bias", 0.0)
    gamma, beta, mean, var = (tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
    expected = (y - mean) / np.sqrt(var + 1e-5) * gamma + beta
    folded = features.canonical(name, state(name))
    found = (folded[f"{conv}.weight"] * window).sum((1, 2, 3)) + folded[f"{conv}.bias"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_vgg16_without_norms_is_as_it_is():
    tensors = state("vgg16")
    folded = features.canonical("vgg16", tensors)
    assert folded.keys() == tensors.keys()
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(folded[key], tensor)


class TestRefused:
    """Every complaint is in the message."""

    @staticmethod
    def refused(tensors, *words, name="resnet18"):
        with pytest.raises(WeightsError) as error:
            features.canonical(name, tensors)
        message = str(error.value)
        for word in (f"no weights of {name}", *words):
            assert word in message, message
        assert "\n" not in message
        return message

    def test_everything_at_once(self, resnet18):
        tensors = resnet18 | {"extra.weight": np.zeros(3, np.float32)}
        del tensors["bn1.running_mean"]
        tensors["conv1.weight"] = tensors["conv1.weight"].transpose(2, 3, 1, 0)
        tensors["layer4.1.bn2.bias"] = np.full(512, np.nan, np.float32)
        tensors["layer1.0.bn1.bias"] = np.zeros(64, np.int32)
        tensors["layer1.0.bn1.running_var"] = np.full(64, -1, np.float32)
        self.refused(
            tensors,
            "bn1.running_mean is missing",
            "extra.weight is too many",
            "conv1.weight is (7, 7, 3, 64), expected (64, 3, 7, 7)",
            "layer4.1.bn2.bias holds values that are not finite",
            "layer1.0.bn1.bias is int32",
            "layer1.0.bn1.running_var holds negative variances",
            "is it the right model?",
        )

    def test_long_lists_are_cut(self, resnet18):
        tensors = {name: tensor for name, tensor in resnet18.items() if not name.startswith("layer4")}
        message = self.refused(tensors, "and 15 more")
        assert message.count("is missing") == 10

    @pytest.mark.parametrize(
        ("given", "name"), [("resnet18", "resnet34"), ("resnet18", "vgg16"), ("vgg16", "vgg16_bn")]
    )
    def test_another_model_is_recognised(self, given, name):
        self.refused(state(given), f"it looks like {given}", name=name)

    def test_nothing(self):
        self.refused({}, "conv1.weight is missing")

    def test_one_tensor_under_two_names(self, resnet18):
        twice = resnet18 | {"module.conv1.weight": resnet18["conv1.weight"]}
        self.refused(twice, "module.conv1.weight is conv1.weight once more")

    def test_overflow(self, resnet18):
        norm = {"bn1.weight": np.full(64, 3e38, np.float32), "bn1.running_var": np.zeros(64, np.float32)}
        self.refused(resnet18 | norm, "conv1.weight overflows float32")

    def test_unknown_model(self, resnet18):
        with pytest.raises(ValueError, match="unknown extractor 'vgg99'; there are: vgg16"):
            features.canonical("vgg99", resnet18)
