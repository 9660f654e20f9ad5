"""A batch over eight virtual devices, and over two processes: the same images as from one device.

JAX fixes its devices when it starts, so each case is a program of its own.
"""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = """
import sys

import jax
import numpy as np

jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
if len(sys.argv) > 3:
    jax.distributed.initialize(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

import rnst_jax as rnst
from tests import phantoms, tables

heads, masks = zip(*(phantoms.head(32, "T2w", subject) for subject in range(4)), strict=True)
y = np.stack([np.clip(phantoms.noisy(x, 0.1, seed), 0, 1) for seed, x in enumerate(heads[:3])])
masks = np.stack(masks).astype(np.float32)
options = {
    "preset": tables.short("balanced", depths=(2,), steps=1, denoiser="gaussian"),
    "extractor": tables.shallow(),
    "mask": masks[:3],
    "style_mask": masks[1:],
    "sigma": np.array([0.05, 0.1, 0.15], np.float32),
}
run = rnst.reconstruct if sys.argv[1] == "1" and len(sys.argv) == 3 else rnst.parallel.reconstruct
result = run(y, np.stack(heads[1:]), **options)
# other numbers of the same shapes compile nothing
compiled = []
jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
run(y, np.stack(heads[1:]), **options | {"sigma": np.array([0.1, 0.1, 0.1], np.float32)})
assert not [name for name in compiled if "backend_compile" in name], compiled
if jax.process_index() == 0:
    np.savez(sys.argv[2], devices=jax.device_count(), image=result.image, evaluations=result.evaluations)
"""


def start(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)], env=environment, cwd=ROOT)


def finish(*processes):
    assert [process.wait(timeout=300) for process in processes] == [0] * len(processes)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one device gives."""
    path = tmp_path_factory.mktemp("one") / "out.npz"
    finish(start(1, path))
    return np.load(path)


def same(path, one, devices):
    found = np.load(path)
    assert found["devices"] == devices
    assert found["image"].shape == (3, 32, 32)
    assert np.ptp(found["image"]) > 0.3
    np.testing.assert_allclose(found["image"], one["image"], atol=1e-5)
    np.testing.assert_array_equal(found["evaluations"], one["evaluations"])


def test_eight_devices(one, tmp_path):
    finish(start(8, tmp_path / "out.npz"))
    same(tmp_path / "out.npz", one, 8)


def test_two_processes(one, tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    finish(*(start(2, tmp_path / "out.npz", address, 2, rank) for rank in range(2)))
    same(tmp_path / "out.npz", one, 4)
