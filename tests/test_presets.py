"""Settings as data: written and read back, refused where they make no sense, all of them explained."""

import dataclasses
import inspect
import re
import typing

import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax import denoise, presets, ranges
from rnst_jax.presets import Config
from rnst_jax.presets.solver import DENOISERS
from rnst_jax.solvers import Rnst
from rnst_jax.style import Adam, IntensityMap, OptaxLbfgs, Pixels, TorchLbfgs

from .tables import SHALLOW, shallow


def write(folder, text):
    (folder / "settings.toml").write_text(text)
    return folder / "settings.toml"


@pytest.mark.parametrize("name", presets.names())
def test_toml_there_and_back(tmp_path, name):
    config = presets.get(name)
    assert presets.load(write(tmp_path, presets.to_toml(config))) == config


@pytest.mark.parametrize("name", presets.names())
def test_changed_settings_there_and_back(tmp_path, name):
    config = dataclasses.replace(presets.get(name), lam=1 / 3, depths=(7, 9), masked=False, denoiser="tv", **SHALLOW)
    assert presets.load(write(tmp_path, presets.to_toml(config))) == config


def test_what_a_file_leaves_out_is_the_presets(tmp_path):
    found = presets.load(write(tmp_path, 'preset = "paper"\nlam = 0.25\n'))
    assert found == dataclasses.replace(presets.get("paper"), lam=0.25)
    assert presets.load(write(tmp_path, "")) == presets.get("balanced")


def test_an_integer_is_a_number(tmp_path):
    found = presets.load(write(tmp_path, "mu = 1\n"))
    assert type(found.mu) is float


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("lamda = 0.5", KeyError, "unknown setting lamda"),
        ("a = 1\nlam = 0.5\nb = 2", KeyError, "unknown setting a, b"),
        ('preset = "best"', ValueError, "no preset 'best'; there are: fast"),
        ("lam = ", ValueError, "Invalid value"),
        ('lam = "much"', ValueError, "lam must be float, not 'much'"),
        ("lam = true", ValueError, "lam must be float, not True"),
        ("candidates = 1.5", ValueError, "candidates must be int, not 1.5"),
        ("candidates = true", ValueError, "candidates must be int, not True"),
        ("masked = 1", ValueError, "masked must be bool, not 1"),
        ("denoiser = 3", ValueError, "denoiser must be str, not 3"),
        ("depths = 40", ValueError, "depths must be tuple, not 40"),
        ('style_taps = "conv1_1"', ValueError, "style_taps must be tuple, not 'conv1_1'"),
        ("mu = 0", ValueError, "mu must be above 0, not 0.0"),
        ("temperature = -1.0", ValueError, "temperature must be above 0, not -1.0"),
        ("lam = -0.5", ValueError, "lam must be 0 or more, not -0.5"),
        ("lam = nan", ValueError, "lam must be finite, not nan"),
        ("alpha = inf", ValueError, "alpha must be finite, not inf"),
        ("steps = 0", ValueError, "steps must be 1 or more, not 0"),
        ("fine = 1.5", ValueError, "fine must be 1 or less, not 1.5"),
        ("native = -1", ValueError, "native must be 0 or more, not -1"),
        ("native = 0.5", ValueError, "native must be 0, or 1 or more, not 0.5"),
        ("completion = 1", ValueError, "completion must be 0, or 2 or more, not 1"),
        ("knots = 1", ValueError, "knots must be 2 or more, not 1"),
        ("depths = [40, 0]", ValueError, "depths must be 1 or more, not 0"),
        ("depths = [40, 1.5]", ValueError, "depths must be a list of int, not of 1.5"),
        ("factors = [true]", ValueError, "factors must be a list of int, not of True"),
        ("depths = []", ValueError, "depths must not be empty"),
        ('style_taps = ["conv1_1", 3]', ValueError, "style_taps must be a list of str, not of 3"),
        (
            'denoiser = "magic"',
            ValueError,
            "denoiser must be one of nlm, tv, wavelet, gaussian, identity, dncnn, bm3d, bm3d-package, not 'magic'",
        ),
        ('distance = "l3"', ValueError, "distance must be one of l1, l2, not 'l3'"),
        ("channels = 2", ValueError, "channels must be one of 1, 3, not 2"),
    ],
)
def test_bad_files(tmp_path, text, error, words):
    with pytest.raises(error, match=re.escape(words)):
        presets.load(write(tmp_path, text))


def test_every_number_has_a_range():
    numbers = {
        field.name
        for field in dataclasses.fields(Config)
        if field.type in (int, float) or str(field.type) == "tuple[int, ...]"
    }
    assert numbers == set(ranges.LEAST) | set(ranges.POSITIVE)
    assert not set(ranges.LEAST) & set(ranges.POSITIVE)


def test_the_choices_of_denoisers_are_those_that_exist():
    assert set(typing.get_args(typing.get_type_hints(Config)["denoiser"])) == set(DENOISERS)


@pytest.mark.parametrize("name", presets.names())
def test_for_extractor(name):
    config = presets.get(name)
    ranges.check(config)
    assert presets.for_extractor(config, "vgg16") == config
    found = presets.for_extractor(config, "resnet101")
    expected = {"style_taps": ("relu1", "layer1", "layer2", "layer3"), "content_taps": ("layer1",), "softmax": True}
    assert found == dataclasses.replace(config, style_weight=10 * config.style_weight, **expected)
    with pytest.raises(ValueError, match="no style defaults for the extractor 'alexnet'"):
        presets.for_extractor(config, "alexnet")


def test_a_file_overrides_the_extractors_defaults(tmp_path):
    path = write(tmp_path, 'style_taps = ["layer2"]\nstyle_weight = 7.0\n')
    expected = presets.for_extractor(presets.get("balanced"), "resnet18")
    found = presets.load(path, "resnet18")
    assert found == dataclasses.replace(expected, style_taps=("layer2",), style_weight=7.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"denoiser": "magic"}, "no denoiser 'magic'; there are: nlm"),
        ({"optimiser": "sgd"}, "no optimiser 'sgd'; there are: adam"),
        ({"parametrisation": "spline"}, "parametrisation must be"),
        ({"parametrisation": "pixels", "reduce": 2}, "reduce works with the intensity map only"),
        ({"style_taps": ("conv1_1", "conv7_7")}, "no tap 'conv7_7'"),
        ({"content_taps": ("conv4_1",)}, "weights end at conv1_2"),
    ],
)
def test_settings_that_build_refuses(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        presets.build(dataclasses.replace(presets.get("balanced"), **{**SHALLOW, **settings}), shallow())


def test_every_setting_is_explained():
    # Python 3.13 takes the indentation off, earlier ones leave it
    documented = re.findall(r"^ {4}(\w+): \S", inspect.cleandoc(Config.__doc__ or ""), re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("name", presets.names())
def test_settings_reach_the_solver(name):
    config = dataclasses.replace(presets.get(name), **SHALLOW)
    solver = presets.build(config, shallow())
    for field in dataclasses.fields(Config):
        # these depend on the style, and are set where it is looked at
        if field.name in {f.name for f in dataclasses.fields(Rnst)} - {"endpoints", "dark_tail", "strictness"}:
            assert getattr(solver, field.name) == getattr(config, field.name), field.name
    for name_ in (
        "style_weight",
        "content_weight",
        "smoothing",
        "style_taps",
        "content_taps",
        "distance",
        "softmax",
        "temperature",
    ):
        assert getattr(solver.style.loss, name_) == getattr(config, name_)
    assert solver.denoised.factor == config.sigma_factor
    assert solver.style.reduce == config.reduce
    assert isinstance(solver.style.parametrisation, IntensityMap if config.parametrisation == "map" else Pixels)
    rules = {"adam": Adam, "torch-lbfgs": TorchLbfgs, "optax-lbfgs": OptaxLbfgs}
    assert type(solver.style.optimiser) is rules[config.optimiser]
    assert solver.style.optimiser.learning_rate == config.learning_rate


@pytest.mark.parametrize("native", [1, 2])
def test_the_denoiser_works_at_the_native_resolution(native):
    config = dataclasses.replace(presets.get("balanced"), denoiser="bm3d", native=native, **SHALLOW)
    expected = denoise.Bm3d()
    if native > 1:
        mean = denoise.Average((expected, denoise.NonLocalMeans()), (1 - config.fine, config.fine), (1.0, 0.6))
        expected = denoise.AtNativeResolution(mean, native, config.apodisation, config.beyond)
    expected = denoise.Sharpened(expected, config.sharpening, config.caution)
    assert presets.build(config, shallow()).denoised.denoiser == expected


def test_unknown_preset():
    with pytest.raises(ValueError, match="no preset 'best'"):
        presets.get("best")


def test_upstream_is_what_the_authors_ran():
    config = presets.get("upstream")
    expected = {"steps": 20, "mu": 0.15, "alpha": 0.0, "beta": 1.0, "lam": 0.7, "depths": (520, 620, 720)}
    expected |= {"candidates": 5, "refine": 20, "style_weight": 5000.0, "content_weight": 1.0, "smoothing": 0.0}
    expected |= {"optimiser": "torch-lbfgs", "learning_rate": 0.4, "history": 100, "channels": 3, "rescale": True}
    expected |= {"denoise": "first", "in_place": True, "masked": False, "content_from": "input", "distance": "l1"}
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("setting", "value"), [("denoise", "strat"), ("distance", "l3"), ("steps", 0), ("native", 0.5)]
)
def test_a_setting_out_of_range_is_refused_in_python_too(setting, value):
    config = dataclasses.replace(presets.get("fast"), **{setting: value})
    images = np.ones((1, 32, 32))
    with pytest.raises(ValueError, match=f"{setting} must be"):
        rnst.reconstruct(images, images, preset=config, mask=images, style_mask=images)
