"""VGG16 features against PyTorch's (golden arrays), their gradients, and the refusal of bad weight files."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rnst_jax import features
from rnst_jax.features import MODELS, WeightsError, layers, weights
from rnst_jax.style import StyleLoss, gram

from .golden_files import golden

CONVS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1")
RELUS = tuple(name.replace("conv", "relu") for name in CONVS)
FILE = golden("vgg16_taps.npz")


@pytest.fixture(scope="module")
def extractor():
    return features.load("vgg16")


def relative(found, expected):
    """The largest difference, relative to the largest value expected."""
    assert found.shape == expected.shape
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("copies", [1, 3])
def test_taps_of_a_grey_image(extractor, copies):
    # One channel goes through the folded first convolution, three through the ordinary one.
    images = jnp.repeat(FILE["grey"][None, ..., None], copies, -1)
    found = jax.jit(lambda images: extractor(images, CONVS + RELUS))(images)
    for tap in CONVS + RELUS:
        assert relative(found[tap][0], FILE[f"grey/{tap}"]) < 1e-4, tap


def test_taps_of_a_colour_image(extractor):
    # Odd sizes: max pooling drops the last row and column.
    found = jax.jit(lambda images: extractor(images, CONVS))(FILE["colour"][None])
    for tap in CONVS:
        assert relative(found[tap][0], FILE[f"colour/{tap}"]) < 1e-4, tap


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_and_gradient(extractor, channels):
    loss = StyleLoss()

    def colour(x):
        return x if channels == 1 else jnp.repeat(x[..., None], 3, -1)

    targets = loss.targets(extractor, colour(FILE["content"]), colour(FILE["style"]))
    for tap in ("conv1_1", "conv2_2"):
        assert relative(targets.grams[tap], FILE[f"gram/{tap}"]) < 1e-4
    value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(extractor, colour(x), targets)))(FILE["grey"])
    np.testing.assert_allclose(value, FILE["loss"], rtol=1e-4)
    assert relative(gradient, FILE["gradient"]) < 1e-4


def test_the_hessian_times_a_vector_by_two_gradients():
    """The gradients that are written out have gradients themselves; docs/extractors.md promises it."""
    with jax.enable_x64(True):
        extractor = features.load("vgg16", taps=("conv2_1",), dtype=jnp.float64)
        loss = StyleLoss(style_taps=("conv1_1", "conv2_1"), content_taps=(), distance="l2")
        x, style, v = jax.random.uniform(jax.random.key(0), (3, 12, 12), jnp.float64)
        targets = loss.targets(extractor, x, style)
        gradient = jax.jit(jax.grad(lambda x: loss(extractor, x, targets)))
        found = jax.grad(lambda x: jnp.vdot(gradient(x), v))(x)
        # a step that is too short to reach a kink of ReLU or maximum
        np.testing.assert_allclose(found, (gradient(x + 1e-7 * v) - gradient(x - 1e-7 * v)) / 2e-7, rtol=1e-4)


@pytest.mark.parametrize("weight", ["style", "content"])
def test_each_part_of_the_loss(extractor, weight):
    loss = StyleLoss(style_weight=float(weight == "style"), content_weight=float(weight == "content"))
    targets = loss.targets(extractor, FILE["content"], FILE["style"])
    np.testing.assert_allclose(loss(extractor, FILE["grey"], targets), FILE[f"{weight}_loss"], rtol=1e-4)


def test_one_channel_equals_three_at_the_borders(extractor):
    # The image does not fade out at its borders, where the padding of the normalised image shows.
    images = jnp.asarray(np.random.default_rng(0).random((2, 9, 7, 1)) + 0.5, jnp.float32)
    one, three = (extractor(i, ("conv1_1",))["conv1_1"] for i in (images, jnp.repeat(images, 3, -1)))
    for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        np.testing.assert_allclose(one[border], three[border], atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (17, 23), (31, 16)])
def test_sizes(extractor, height, width):
    found = extractor(jnp.zeros((2, height, width, 1)), ("relu1_2", "pool1", "conv3_1", "conv4_1"))
    assert {tap: f.shape for tap, f in found.items()} == {
        "relu1_2": (2, height, width, 64),
        "pool1": (2, height // 2, width // 2, 64),
        "conv3_1": (2, height // 4, width // 4, 256),
        "conv4_1": (2, height // 8, width // 8, 512),
    }


@pytest.mark.parametrize("tap", ["conv4_2", "relu5_1", "pool4", "conv9_9", "", "conv1"])
def test_taps_that_are_not_there(extractor, tap):
    known = tap in MODELS["vgg16"].taps
    with pytest.raises(ValueError, match="weights end at conv4_1" if known else "has no tap"):
        extractor(jnp.zeros((1, 8, 8, 1)), ("conv1_1", tap))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (1, 8, 8, 2), (1, 1, 8, 8, 1)])
def test_images_of_another_shape(extractor, shape):
    with pytest.raises(ValueError, match="1 or 3"):
        extractor(jnp.zeros(shape), ("conv1_1",))


def test_images_of_a_batch_do_not_meet(extractor):
    images = jnp.asarray(np.random.default_rng(1).random((3, 16, 16, 1)), jnp.float32)
    together = extractor(images, ("conv3_1",))["conv3_1"]
    alone = jnp.concatenate([extractor(image[None], ("conv3_1",))["conv3_1"] for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def xla(x, kernel, stride):
    """What `convolve` computes, with XLA's own gradient."""
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize(
    ("size", "stride", "channels"), [(3, 1, 3), (3, 1, 9), (1, 1, 3), (1, 2, 3), (3, 2, 3), (7, 2, 3)]
)
class TestConvolve:
    """`convolve` writes its own gradient; XLA's own is the oracle. Sides are odd and even, channels few or not."""

    @pytest.fixture
    def x(self, channels):
        return jnp.asarray(np.random.default_rng(2).standard_normal((2, 9, 8, channels)), jnp.float32)

    @pytest.fixture
    def kernel(self, size, channels):
        return jnp.asarray(np.random.default_rng(size).standard_normal((size, size, channels, 5)), jnp.float32)

    @pytest.mark.parametrize("crop", [np.s_[:], np.s_[:, 1:, 1:]])
    def test_gradient(self, x, kernel, stride, crop):
        ours, theirs = (
            jax.jit(jax.grad(lambda *args, f=f: jnp.sum(jnp.sin(f(*args, stride))), (0, 1)))(x[crop], kernel)
            for f in (layers.convolve, xla)
        )
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)

    def test_value(self, x, kernel, stride):
        found, expected = (f(x, kernel, stride) for f in (layers.convolve, xla))
        np.testing.assert_allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
    def test_gradient_under_vmap(self, x, kernel, stride, in_axes):
        x = x if in_axes[0] is None else jnp.stack([x, -2 * x, x**2])
        kernel = kernel if in_axes[1] is None else jnp.stack([kernel, kernel**2, -kernel])
        ours, theirs = (
            jax.jit(jax.vmap(jax.grad(lambda *args, f=f: jnp.sum(jnp.sin(f(*args, stride))), (0, 1)), in_axes))(
                x, kernel
            )
            for f in (layers.convolve, xla)
        )
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-4)


def test_bfloat16_images_give_bfloat16_features_and_float32_grams(extractor):
    images = jnp.asarray(FILE["grey"], jnp.bfloat16)
    found = extractor(images[None, ..., None], ("conv1_1", "conv2_2"))
    assert all(f.dtype == jnp.bfloat16 for f in found.values())
    grams = StyleLoss().targets(extractor, images, images).grams
    assert all(g.dtype == jnp.float32 for g in grams.values())
    exact = gram(jnp.asarray(FILE["grey/conv2_2"]))
    assert relative(grams["conv2_2"], np.asarray(exact)) < 0.05


class TestWeights:
    """Files that are missing, damaged or of another model."""

    @pytest.fixture
    def tensors(self):
        """The two tensors of conv1_1 only: a valid, small file."""
        return {name: t for name, t in load_file(weights.find("vgg16")).items() if name.startswith("features.0.")}

    @staticmethod
    def refused(path, *words):
        with pytest.raises(WeightsError) as error:
            features.load(weights=path)
        for word in (str(path), *words):
            assert word in str(error.value)

    def test_a_file_that_ends_early_gives_an_extractor_that_ends_early(self, tmp_path, tensors):
        save_file(tensors, tmp_path / "w.safetensors")
        extractor = features.load(weights=tmp_path / "w.safetensors")
        assert list(extractor.params) == ["conv1_1"]
        assert extractor(jnp.zeros((1, 8, 8, 1)), ("relu1_1",))["relu1_1"].shape == (1, 8, 8, 64)
        with pytest.raises(ValueError, match="weights end at conv1_1"):
            extractor(jnp.zeros((1, 8, 8, 1)), ("conv1_2",))

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "none.safetensors", "no such weight file")

    def test_a_folder(self, tmp_path):
        self.refused(tmp_path, "no such weight file")

    @pytest.mark.parametrize("keep", [0, 4, 60, -4])
    def test_truncated(self, tmp_path, tensors, keep):
        save_file(tensors, tmp_path / "w.safetensors")
        whole = (tmp_path / "w.safetensors").read_bytes()
        (tmp_path / "w.safetensors").write_bytes(whole[:keep])
        self.refused(tmp_path / "w.safetensors", "not a readable safetensors file")

    def test_text(self, tmp_path):
        (tmp_path / "w.safetensors").write_text("<html>404: Not Found</html>\n" * 20)
        self.refused(tmp_path / "w.safetensors", "not a readable safetensors file")

    def test_no_file_of_this_model(self, tmp_path):
        save_file({"layer.weight": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "lacks features.0.bias, features.0.weight", "right model")

    def test_missing_bias(self, tmp_path, tensors):
        del tensors["features.0.bias"]
        save_file(tensors, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "lacks features.0.bias")

    def test_missing_layer_in_between(self, tmp_path, tensors):
        tensors["features.5.weight"] = np.zeros((128, 64, 3, 3), np.float32)
        tensors["features.5.bias"] = np.zeros(128, np.float32)
        save_file(tensors, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "lacks features.2.bias, features.2.weight")

    def test_wrong_shape(self, tmp_path, tensors):
        # A Keras file, say: the axes in another order.
        tensors["features.0.weight"] = np.ascontiguousarray(tensors["features.0.weight"].transpose(2, 3, 1, 0))
        save_file(tensors, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "features.0.weight is float32 (3, 3, 3, 64)", "(64, 3, 3, 3)")

    def test_wrong_type(self, tmp_path, tensors):
        tensors["features.0.bias"] = tensors["features.0.bias"].astype(np.float64)
        save_file(tensors, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "features.0.bias is float64")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, tmp_path, tensors, value):
        tensors["features.0.weight"][3, 1, 0, 2] = value
        save_file(tensors, tmp_path / "w.safetensors")
        self.refused(tmp_path / "w.safetensors", "features.0.weight holds values that are not finite")

    def test_unknown_network(self):
        with pytest.raises(ValueError, match="unknown extractor 'vgg99'; there are: vgg16"):
            features.load("vgg99")

    def test_not_packaged(self):
        with pytest.raises(WeightsError, match="no packaged weights for 'vgg99'"):
            weights.verify("vgg99")

    @pytest.fixture
    def copy(self, tmp_path, monkeypatch):
        """A copy of the packaged weights that takes their place."""
        shutil.copytree(weights.folder(), tmp_path / "weights")
        monkeypatch.setattr(weights, "folder", lambda: tmp_path / "weights")
        return tmp_path / "weights" / "vgg16.safetensors"

    def test_the_packaged_file_is_the_manifests(self, copy):
        assert weights.verify("vgg16") == copy

    def test_one_flipped_byte_is_found(self, copy):
        with copy.open("r+b") as stream:
            stream.seek(3_000_001)
            byte = stream.read(1)[0]
            stream.seek(3_000_001)
            stream.write(bytes([byte ^ 1]))
        with pytest.raises(WeightsError, match="is not the manifest's; reinstall"):
            features.load("vgg16")

    def test_a_packaged_file_that_is_gone(self, copy):
        copy.unlink()
        with pytest.raises(WeightsError, match="missing; reinstall"):
            features.load("vgg16")
