"""``rnst doctor``: is everything here that a reconstruction needs?"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rnst_jax.cli import options
from rnst_jax.cli.weights import check_all
from rnst_jax.io import nifti, provenance


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="check the installation",
        description="Versions, devices, weights, files, precision, and a small reconstruction. Exit code 1 on a fault.",
    )
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run all checks; returns 0 if they pass, else 1."""
    checks: dict[str, Callable[[], str]] = {
        "devices": _devices,
        "weights": _weights,
        "files": _files,
        "precision": _precision,
        "operations": _operations,
        "denoiser": _denoiser,
        "self-test": _reconstruction,
    }
    found, sound = {}, True
    for name, check in checks.items():
        try:
            found[name] = {"ok": True, "detail": check()}
        except Exception as error:  # a doctor reports what it finds, whatever it is
            sound = False
            found[name] = {"ok": False, "detail": " ".join(f"{type(error).__name__}: {error}".split())}
    if args.json:
        options.print_json({"ok": sound, "versions": provenance.versions(), "checks": found})
        return 0 if sound else 1
    for name, version in provenance.versions().items():
        print(f"{name:>10} {version}")
    for name, outcome in found.items():
        print(f"{name:>10} {'ok' if outcome['ok'] else 'FAULT'}: {outcome['detail']}")
    return 0 if sound else 1


def _devices() -> str:
    import jax

    return ", ".join(f"{device.platform} ({device.device_kind})" for device in jax.devices())


def _weights() -> str:
    from rnst_jax.features import weights

    found = check_all(list(weights.manifest()))
    if faults := [fault for fault in found.values() if fault]:
        raise RuntimeError("; ".join(faults))
    return f"{', '.join(found)} verified"


def _files() -> str:
    """Write and read a small volume."""
    import nibabel as nib

    data = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "in.nii.gz")
        nib.save(nib.Nifti1Image(data, np.diag([1.0, 2.0, 3.0, 1.0])), source)
        volume = nifti.read(source)
        nifti.write(source.with_name("out.nii.gz"), volume.data, volume)
        again = nifti.read(source.with_name("out.nii.gz"))
    if not np.array_equal(again.data, data) or not nifti.same_grid(again, volume):
        raise RuntimeError("a NIfTI file that was written and read again differs")
    return "NIfTI written and read again"


def _precision() -> str:
    """How exact a matrix product in float32 is."""
    import jax
    import jax.numpy as jnp

    a, b = np.random.default_rng(0).standard_normal((2, 256, 256))
    exact = a @ b
    errors = {}
    for name in ("default", "highest"):
        with jax.default_matmul_precision(name):
            found = np.asarray(jnp.asarray(a, jnp.float32) @ jnp.asarray(b, jnp.float32))
        errors[name] = float(np.abs(found - exact).max() / np.abs(exact).max())
    if errors["highest"] > 1e-5:
        raise RuntimeError(f"a float32 product at the highest precision is wrong by {errors['highest']:.1e}")
    return (
        f"relative error of a float32 product {errors['default']:.0e}, at the highest precision {errors['highest']:.0e}"
    )


def _operations() -> str:
    """Operations one by one against the same in one program: there were releases of jaxlib that fail on some GPUs."""
    import jax

    def numbers(key):
        return 2 * jax.random.normal(key, (1000,)) + 1

    alone, together = (np.asarray(compute(jax.random.key(0))) for compute in (numbers, jax.jit(numbers)))
    if not np.allclose(alone, together, rtol=1e-5, atol=1e-5):
        raise RuntimeError("operations outside of jit give other numbers than inside; take another release of jax")
    return "the same outside of jit as inside"


def _denoiser() -> str:
    """BM3D on an accelerator against the CPU's: jaxlib 0.11.2 got one of its operations wrong on NVIDIA GPUs."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return "nothing to compare: no accelerator"
    # where other matches are as good but for rounding, less than a tenth of the noise
    if not (difference := _bm3d_difference(device)) < 0.01:
        raise RuntimeError(f"BM3D differs from the CPU's by {difference:.2g} RMS; take another release of jax")
    return f"BM3D differs from the CPU's by {difference:.0e} RMS"


def _bm3d_difference(device: Any) -> float:
    """RMS difference between a device's BM3D and the CPU's, of an image in [0, 1] with noise of 0.1."""
    import jax

    from rnst_jax.denoise import Bm3d

    head, _ = _head(80, 30)
    noisy = (head + 0.1 * np.random.default_rng(0).standard_normal(head.shape)).astype(np.float32)
    places = (device, jax.devices("cpu")[0])
    here, there = (np.asarray(jax.jit(Bm3d())(*jax.device_put((noisy, np.float32(0.1)), at))) for at in places)
    return float(np.sqrt(np.mean(np.square(here - there))))


def _head(side: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """A round head with stripes in a square image, and where it is."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    inside = np.hypot(rows, columns) < radius
    return inside * (0.6 + 0.2 * np.cos(rows / 3)), inside


def _reconstruction() -> str:
    """A small reconstruction from end to end, compiled in a hurry."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    from rnst_jax import api, features, presets
    from rnst_jax.physics import Identity
    from rnst_jax.types import Problem

    begun = time.perf_counter()
    head, inside = _head(32, 12)
    noisy = np.clip(head + 0.15 * np.random.default_rng(0).standard_normal(head.shape), 0, 1)
    small = {"style_taps": ("conv1_1",), "content_taps": ("conv1_1",), "denoiser": "gaussian", "depths": (2,)}
    config = dataclasses.replace(presets.get("fast"), native=1, sharpening=0.0, quantile_count=0, **small)
    solver = presets.build(config, features.load("vgg16"))
    measured, style, mask, sigma = (jnp.asarray(part, jnp.float32) for part in (noisy, head.T, inside, 0.15))
    problem = Problem(measured, style, mask, mask, Identity(), sigma)
    lowered = jax.jit(lambda problem, solver: api.solve(problem, solver, max_steps=1)).lower(problem, solver)
    # two evaluations need no fast program, and a CPU takes twice as long to make one
    hurry: Any = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    image = np.asarray(lowered.compile(compiler_options=hurry)(problem, solver).image)
    before, after = (float(np.square(found - head)[inside].mean()) for found in (noisy, image))
    if not after < before:
        raise RuntimeError(
            f"a small reconstruction is further from the truth ({after:.2g}) than its input ({before:.2g})"
        )
    return f"32 x 32 in {time.perf_counter() - begun:.1f} s, compilation included; error {before:.1e} -> {after:.1e}"
