"""All nine extractors against torchvision's (golden digests), their options, and what is loaded of a file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from rnst_jax import features
from rnst_jax.features import MODELS, WeightsError, layers
from rnst_jax.features.convert import convert
from rnst_jax.style import StyleLoss

from .golden.random_networks import PATCH, SIZES, digest, image, random_state
from .golden_files import golden

FILE = golden("extractor_taps.npz")
SMALL = {"vgg": "vgg16_bn", "resnet": "resnet18"}


@functools.cache
def small(family):
    """The smallest network of a family that has batch norms."""
    name = SMALL[family]
    return features.canonical(name, random_state(name, MODELS[name].state_dict_shapes()))


@pytest.fixture
def converted(tmp_path):
    """Makes the converted file of a network; it and its source are removed, for they are large."""
    source, file = tmp_path / "source.safetensors", tmp_path / "converted.safetensors"

    def write(name):
        save_file(random_state(name, MODELS[name].state_dict_shapes()), source)
        convert(name, source, file)
        return file

    yield write
    for path in (source, file):
        path.unlink()


@pytest.mark.parametrize("name", MODELS)
def test_taps_are_torchvisions(name, converted):
    model, extractor = MODELS[name], features.load(name, weights=converted(name))
    for size in SIZES:
        assert {key.split("/")[2] for key in FILE if key.startswith(f"{name}/{size}/")} == set(model.taps)
        found = extractor(jnp.asarray(image(size))[None], tuple(model.taps))
        for tap, value in found.items():
            expected = FILE[f"{name}/{size}/{tap}"]
            assert expected[2] > 0.1
            error = np.abs(digest(np.asarray(value[0])) - expected).max() / expected[2]
            assert error < 1e-4, (size, tap, error)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("shape", [(9, 12)])
def test_one_channel_equals_three_at_the_borders(family, shape):
    # The image does not fade out at its borders, where the padding of the normalised image shows.
    extractor = features.build(SMALL[family], small(family))
    images = jnp.asarray(np.random.default_rng(0).random((2, *shape, 1)) + 0.5, jnp.float32)
    tap = next(iter(MODELS[SMALL[family]].taps))
    one, three = (extractor(i, (tap,))[tap] for i in (images, jnp.repeat(images, 3, -1)))
    np.testing.assert_allclose(one, three, atol=2e-5)


def windows(x, pooling, size, padding):
    """Pooling with stride 2 by XLA's own windows; zeros around an average."""
    initial, combine = (-np.inf, jax.lax.max) if pooling == "max" else (0.0, jax.lax.add)
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    pooled = jax.lax.reduce_window(x, initial, combine, (1, size, size, 1), (1, 2, 2, 1), pads)
    return pooled if pooling == "max" else pooled / size**2


@pytest.mark.parametrize("pooling", layers.POOLINGS)
@pytest.mark.parametrize("shape", [(7, 10), (2, 3)])
def test_pooling_and_its_gradient(pooling, shape):
    # negative everywhere: a padding with zeros would win every maximum at the border
    x = jnp.asarray(-np.random.default_rng(0).random((2, *shape, 3)) - 0.5, jnp.float32)
    for pool, size, padding in ((layers.pool2, 2, 0), (layers.pool3, 3, 1)):
        found, back = jax.vjp(jax.jit(lambda x, f=pool: f(x, pooling)), x)
        expected, theirs = jax.vjp(jax.jit(lambda x, s=size, p=padding: windows(x, pooling, s, p)), x)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_allclose(back(jnp.sin(9 * found))[0], theirs(jnp.sin(9 * found))[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", SMALL)
def test_pooling_reaches_the_network(family):
    name, images = SMALL[family], jnp.asarray(image("157x203"))[None, :16, :16]
    tap = "pool1" if family == "vgg" else "layer1.0"
    maximum, average = (features.build(name, small(family), pooling=p)(images, (tap,))[tap] for p in layers.POOLINGS)
    assert float(maximum.mean()) > 1.05 * float(average.mean())


def test_the_gradient_is_torchvisions():
    # the stem, a pooling, a stride of 2 and a shortcut; odd and even sides
    extractor, expected = features.build("resnet18", small("resnet")), FILE["resnet18/gradient"]
    power = jax.jit(jax.grad(lambda x: jnp.mean(extractor(x[None], ("layer2.0",))["layer2.0"] ** 2)))
    gradient = power(jnp.asarray(image("224x224")[PATCH]))[..., 0]
    assert np.abs(gradient - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("family", SMALL)
def test_bfloat16(family):
    name, images = SMALL[family], jnp.asarray(image("224x224"))[None, :32, :32]
    taps = tuple(MODELS[name].taps)[:3]
    extractor = features.build(name, small(family), dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(extractor))
    found, exact = extractor(images, taps), features.build(name, small(family))(images, taps)
    for tap in taps:
        assert found[tap].dtype == jnp.bfloat16
        scale = float(jnp.abs(exact[tap]).max())
        np.testing.assert_allclose(found[tap].astype(jnp.float32), exact[tap], atol=0.05 * scale)
    loss = StyleLoss(style_taps=taps[:2], content_taps=taps[:1])
    grams = loss.targets(extractor, images[0, ..., 0], images[0, ..., 0]).grams
    assert all(g.dtype == jnp.float32 for g in grams.values())


@pytest.mark.parametrize("family", SMALL)
def test_float64_by_tree_map(family):
    name, pixels, tap = SMALL[family], image("224x224")[None, :32, :32], list(MODELS[SMALL[family]].taps)[2]
    single = features.build(name, small(family))(jnp.asarray(pixels), (tap,))[tap]
    with jax.enable_x64(True):
        extractor = jax.tree.map(lambda a: a.astype(jnp.float64), features.build(name, small(family)))
        double = np.asarray(extractor(jnp.asarray(pixels, jnp.float64), (tap,))[tap])
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=1e-5 * np.abs(double).max())


@pytest.mark.parametrize(("family", "tap"), [("vgg", "pool2"), ("resnet", "layer2.0")])
class TestLoad:
    """A converted file, whole, cut, in part."""

    @pytest.fixture
    def file(self, family, tmp_path):
        def write(count=None):
            names = list(small(family))[: None if count is None else 2 * count]
            save_file({name: small(family)[name] for name in names}, tmp_path / "w.safetensors")
            return tmp_path / "w.safetensors"

        return write

    def test_whole(self, family, tap, file):
        name, images = SMALL[family], jnp.asarray(image("157x203"))[None, :32, :32]
        extractor = features.load(name, file())
        assert len(extractor.params) == len(MODELS[name].convolutions)
        expected = features.build(name, small(family))(images, (tap,))[tap]
        np.testing.assert_array_equal(extractor(images, (tap,))[tap], expected)

    @pytest.mark.parametrize("short", [0, 1])
    def test_cut(self, family, tap, file, short):
        name, images = SMALL[family], jnp.asarray(image("157x203"))[None, :32, :32]
        count = MODELS[name].taps[tap] - short
        extractor = features.load(name, file(count))
        assert len(extractor.params) == count
        if short:
            last = MODELS[name].convolutions[count - 1].layer
            with pytest.raises(ValueError, match=f"weights end at {last}, below the tap '{tap}'"):
                extractor(images, (tap,))
            with pytest.raises(ValueError, match=f"weights end at {last}, below the tap '{tap}'"):
                features.load(name, file(count), taps=(tap,))
        else:
            assert extractor(images, (tap,))[tap].dtype == jnp.float32

    def test_only_what_the_taps_need(self, family, tap, file):
        name = SMALL[family]
        extractor = features.load(name, file(), taps=(tap, next(iter(MODELS[name].taps))))
        assert len(extractor.params) == MODELS[name].taps[tap]

    def test_options(self, family, tap, file):
        extractor = features.load(SMALL[family], file(1), dtype=jnp.bfloat16, pooling="average")
        assert (extractor.pooling, extractor.dtype) == ("average", jnp.bfloat16)
        assert {leaf.dtype for leaf in jax.tree.leaves(extractor)} == {np.dtype(jnp.bfloat16)}

    def test_refused(self, family, tap, file):
        with pytest.raises(ValueError, match="unknown pooling 'median'; there are: max, average"):
            features.load(SMALL[family], file(1), pooling="median")
        with pytest.raises(ValueError, match="has no tap 'layer9'"):
            features.load(SMALL[family], file(1), taps=("layer9",))
        other = "resnet50" if family == "resnet" else "vgg19"
        with pytest.raises(WeightsError, match=r"w\.safetensors"):
            features.load(other, file())


def test_nothing_above_the_deepest_tap_is_computed():
    extractor = features.build("resnet18", small("resnet"))
    jaxpr = jax.make_jaxpr(lambda x: extractor(x, ("layer1.0", "relu1")))(jnp.zeros((1, 32, 32, 3)))
    # the image and the ones of the stem, two of the block
    assert str(jaxpr).count("= conv_general_dilated[") == 4


@pytest.mark.parametrize("name", MODELS)
def test_the_names_of_torchvisions_files(name):
    model = MODELS[name]
    assert model.url == f"https://download.pytorch.org/models/{name}-{model.sha256_prefix}.pth"
    assert len(model.sha256_prefix) == 8
    int(model.sha256_prefix, 16)
    assert list(model.taps.values()) == sorted(model.taps.values())
    assert max(model.taps.values()) == len(model.convolutions)
