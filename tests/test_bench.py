"""The speed benchmarks: what they count is right, and rows are kept."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from rnst_jax import presets
from rnst_jax.bench import cases, profile, record, scaling, suite, throughput
from rnst_jax.cli.benchmark import NAMES
from rnst_jax.cli.main import main
from rnst_jax.features.catalogue import find
from tests.tables import SHALLOW


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Presets with a simple denoiser: BM3D takes ten seconds to compile for each size, and is not what is tested."""
    get = presets.get
    monkeypatch.setattr(presets, "get", lambda name: dataclasses.replace(get(name), denoiser="gaussian", native=1.0))


@pytest.fixture
def shallow(monkeypatch):
    """A network cut short, where what it costs is not looked at."""
    monkeypatch.setattr(presets, "for_extractor", lambda config, _: dataclasses.replace(config, **SHALLOW))


def convolution_flop(size):
    """Of the forward pass of VGG16 to conv4_1 on one channel; two for each product."""
    flop, side, block = 0, size, 1
    for conv in find("vgg16").convolutions:
        if conv.layer == "conv4_2":
            return flop
        if int(conv.layer[4]) > block:
            block, side = block + 1, side // 2
        outputs, inputs, height, width = conv.shape
        flop += 2 * outputs * (1 if conv.layer == "conv1_1" else inputs) * height * width * side**2
    raise AssertionError("no conv4_2")


def test_flop_are_those_of_the_convolutions():
    (row,) = profile.measure([(1, 64, "float32")], repeats=1)
    # forward, and backward to the image; the target and the Gram matrices are a little more
    assert row["flop"] == pytest.approx(2 * convolution_flop(64), rel=0.2)
    assert row["flop_per_second"] == pytest.approx(row["flop"] / row["seconds"], rel=0.01)
    assert row["share"] == pytest.approx(row["flop_per_second"] / row["matrix_peak"], abs=0.001)
    assert 0 < row["share"] < 1.5


def test_matrix_peak_does_not_depend_much_on_size():
    # other work on the machine can halve either of them
    assert 0.25 < record.matrix_peak(n=512) / record.matrix_peak(n=1024) < 4


def test_throughput_and_scaling_rows(shallow):
    (row,) = throughput.measure([(2, 48, "vgg16", "float32")], "fast", repeats=1)
    assert row["slices_per_minute"] == pytest.approx(120 / row["run_seconds"], rel=0.01)
    assert (row["evaluations"], row["weights"], row["box"]) == (24, "ImageNet", list(cases.batch(2, 48)["y"].shape[1:]))
    assert row["program_bytes"] > 2**20
    assert len(throughput.line(row)) == len(throughput.HEAD)
    rows = list(scaling.slices((2,), 48, "fast", repeats=1))
    assert [row["value"] for row in rows] == ["2", "2, one by one"]
    assert rows[1]["relative_cost_per_unit"] == pytest.approx(rows[1]["run_seconds"] / rows[0]["run_seconds"], rel=0.02)
    assert suite.table("scaling", rows).count("\n") == 3


def test_networks_without_weights_are_random_and_finite():
    network, weights = cases.extractor("resnet18", "bfloat16")
    assert weights == "random"
    features = network(jax.random.uniform(jax.random.key(0), (1, 64, 64, 1)), ("layer3",))["layer3"]
    assert features.dtype == jax.numpy.bfloat16
    assert np.isfinite(features.astype(np.float32)).all()
    with pytest.raises(ValueError, match="no precision 'int4'"):
        cases.extractor("vgg16", "int4")


def test_rows_replace_those_of_the_same_settings(tmp_path):
    path = tmp_path / "new" / "rows.json"
    for batch, seconds in ((1, 2.0), (2, 3.0), (1, 1.5)):
        record.append(path, {"batch": batch, "seconds": seconds}, ("batch",))
    assert json.loads(path.read_text())["rows"] == [{"batch": 2, "seconds": 3.0}, {"batch": 1, "seconds": 1.5}]


def test_command_line(tmp_path, capsys, monkeypatch, shallow):
    assert tuple(suite.BENCHMARKS) == NAMES
    assert main(["benchmark", "speed"]) == 2
    assert "no benchmark 'speed'; there are: throughput, scaling, profile" in capsys.readouterr().err
    assert main(["benchmark", "--trace", str(tmp_path)]) == 2
    (tmp_path / "file").touch()
    assert main(["benchmark", "--output", str(tmp_path / "file")]) == 2
    short = suite.BENCHMARKS["scaling"]._replace(rows=lambda short: scaling.pixels((32, 48), "fast", 1))
    monkeypatch.setitem(suite.BENCHMARKS, "scaling", short)
    assert main(["benchmark", "scaling", "--output", str(tmp_path), "-q"]) == 0
    assert "| fast | pixels | 32 |" in capsys.readouterr().out
    assert [row["value"] for row in json.loads((tmp_path / "scaling.json").read_text())["rows"]] == ["32", "48"]


def test_the_dearest_operations():
    found = profile.dearest(32, preset="fast", count=5)
    assert len(found) == 5
    times = [seconds for _, seconds, _ in found]
    assert times == sorted(times, reverse=True)
    assert times[-1] > 0
