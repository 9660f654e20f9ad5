"""The golden files are there, small, and hold what the scripts beside them document."""

import importlib.util
import pathlib

import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"
CHANNELS = {
    "1_1": 64,
    "1_2": 64,
    "2_1": 128,
    "2_2": 128,
    "3_1": 256,
    "3_2": 256,
    "3_3": 256,
    "4_1": 512,
}


def load(name):
    with np.load(GOLDEN / name) as file:
        return {key: file[key] for key in file}


def pooled(shape, block):
    return tuple(n // 2 ** (block - 1) for n in shape)


def test_vgg16_taps_shapes():
    expected = {"grey": (24, 20), "colour": (23, 19, 3), "content": (24, 20), "style": (21, 26), "gradient": (24, 20)}
    expected |= {"loss": (), "style_loss": (), "content_loss": (), "gram/conv1_1": (64, 64), "gram/conv2_2": (128, 128)}
    for tap, channels in CHANNELS.items():
        expected[f"grey/conv{tap}"] = expected[f"grey/relu{tap}"] = (*pooled((24, 20), int(tap[0])), channels)
        expected[f"colour/conv{tap}"] = (*pooled((23, 19), int(tap[0])), channels)
    file = load("vgg16_taps.npz")
    assert {key: value.shape for key, value in file.items()} == expected
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in file.values())
    for key in ("grey", "colour", "content", "style"):
        assert file[key].min() == 0
        assert file[key].max() == 1


def test_vgg16_taps_agree_with_each_other():
    file = load("vgg16_taps.npz")
    for tap in CHANNELS:
        # a tap overwritten by an in-place ReLU would have no negative values
        assert file[f"grey/conv{tap}"].min() < 0
        np.testing.assert_array_equal(np.maximum(file[f"grey/conv{tap}"], 0), file[f"grey/relu{tap}"])
    np.testing.assert_allclose(file["loss"], 5000 * file["style_loss"] + file["content_loss"], rtol=1e-6)


def test_upstream_shapes():
    expected = {"content": (64, 64), "style": (64, 64), "losses": (40,), "chain_losses": (3, 40), "scores": (5, 3)}
    expected |= {"chain": (3, 64, 64, 3), "candidate": (64, 64, 3), "image": (64, 64, 3), "winner": ()}
    doubles = {"float64/losses": (40,), "float64/chain_losses": (3, 40), "float64/scores": (5, 3)}
    indices = {"winner", "float64/winner"}
    file = load("upstream.npz")
    assert {key: value.shape for key, value in file.items()} == expected | doubles | {"float64/winner": ()}
    for key, value in file.items():
        assert value.dtype == (np.int64 if key in indices else np.float64 if key in doubles else np.float32), key
        assert np.isfinite(value).all(), key


def test_upstream_is_consistent():
    file = load("upstream.npz")
    assert file["winner"] == file["scores"].argmin() == file["float64/winner"] == file["float64/scores"].argmin()
    np.testing.assert_array_equal(file["losses"], file["chain_losses"][0])
    for key in ("content", "style", "candidate"):
        assert file[key].min() == 0
        assert file[key].max() == 1
    # the winner's candidate follows from the update formula
    i, j = divmod(int(file["winner"]), 3)
    x = np.repeat(file["content"][..., None], 3, axis=-1).astype(np.float64)
    candidate = x - (i + 1) * 0.15 * ((x - file["chain"][j]) + 0.7 * (x - file["chain"][2]))
    candidate = (candidate - candidate.min()) / np.ptp(candidate)
    np.testing.assert_allclose(file["candidate"], candidate, atol=1e-5)


def test_upstream_images_come_from_the_phantom():
    spec = importlib.util.spec_from_file_location("phantom_pair", GOLDEN / "phantom_pair.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    content, style = module.phantom_pair(seed=1, size=64, noise=0.05)
    file = load("upstream.npz")
    np.testing.assert_allclose(content, file["content"], atol=1e-6)
    np.testing.assert_allclose(style, file["style"], atol=1e-6)


def test_dncnn():
    file = load("dncnn.npz")
    outputs = {"conditioned/0.02", "conditioned/0.1", "conditioned/0.2", "blind/0.1", "blind/0.05"}
    assert file.keys() == outputs | {"image"}
    for value in file.values():
        assert value.shape == (26, 21)
        assert value.dtype == np.float32
        assert np.isfinite(value).all()
    for key in outputs:
        assert 0.01 < np.abs(file[key] - file["image"]).max() < 0.5, key


SIZES = {"vgg16_taps": 1_500_000, "upstream": 500_000, "extractor_taps": 400_000, "dncnn": 60_000}


@pytest.mark.parametrize(("name", "limit"), SIZES.items())
def test_golden_files_are_small(name, limit):
    assert (GOLDEN / f"{name}.npz").stat().st_size < limit
