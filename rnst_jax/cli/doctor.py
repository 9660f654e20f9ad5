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
        description="Versions, devices, weights, and a small self-test of files and network. Exit code 1 on a fault.",
    )
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run all checks; returns 0 if they pass, else 1."""
    checks: dict[str, Callable[[], str]] = {
        "devices": _devices,
        "weights": _weights,
        "files": _files,
        "network": _network,
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


def _network() -> str:
    """A gradient through the extractor, compiled."""
    import jax
    import jax.numpy as jnp

    from rnst_jax import features

    begun = time.perf_counter()
    extractor = features.load("vgg16")
    image = jnp.linspace(0, 1, 32 * 32).reshape(1, 32, 32, 1)
    gradient = jax.jit(
        jax.grad(lambda x: sum(jnp.abs(f).mean() for f in extractor(x, ("conv1_1", "conv4_1")).values()))
    )
    value = gradient(image)
    if not bool(jnp.isfinite(value).all()) or not bool(jnp.abs(value).max() > 0):
        raise RuntimeError("the gradient through vgg16 is zero or not finite")
    return f"gradient through vgg16 in {time.perf_counter() - begun:.1f} s, compilation included"
