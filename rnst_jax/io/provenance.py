"""The sidecar beside an output: what made it, from what, with which settings."""

import importlib.metadata
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from rnst_jax.io.volumes import label, sha256
from rnst_jax.version import __version__

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "nibabel")
_NOTE = (
    "For research use only. The intensities are synthetic: contrast and texture come from the scan of another person. "
    "Not for diagnosis or treatment."
)


def versions() -> dict[str, str]:
    """The versions of the packages that shape a result, without importing them.

    Examples:
        >>> sorted(versions())[:3]
        ['flax', 'jax', 'jaxlib']
    """
    found = {"rnst_jax": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def identity(
    *,
    inputs: Mapping[str, pathlib.Path],
    weights: pathlib.Path,
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: str,
    seed: int,
) -> dict[str, Any]:
    """All that decides a reconstruction: a run with the same identity gives the same bytes.

    Files are named without their folders: a path can hold a user's or a patient's name.

    Args:
        inputs: role (content, style, mask) to file.
        weights: the extractor's weight file.
        config: every number of the solver.
        settings: what the command line decided (plane, slices, preset, intensity scaling).
        device: the device in words.
        seed: the seed of the random key.

    Returns:
        A dict that JSON can hold.
    """
    return {
        "GeneratedBy": [{"Name": "rnst_jax", "Version": __version__, "Device": device, "Packages": versions()}],
        "Inputs": {role: {"File": label(path), "SHA256": sha256(path)} for role, path in inputs.items()},
        "Weights": {"File": weights.name, "SHA256": sha256(weights)},
        "Seed": seed,
        "Settings": dict(settings),
        "Config": dict(config),
    }


def sidecar(
    identity: Mapping[str, Any],
    *,
    uri: str | None = None,
    found: Mapping[str, Any],
    evaluations: int,
    compile_seconds: float,
    run_seconds: float,
    slices: Sequence[Mapping[str, Any]],
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of the sidecar JSON, in the manner of BIDS derivatives.

    Args:
        identity: of `identity`.
        uri: the BIDS URI of the content, for a derivative.
        found: what the content scan itself told, as the settings ask for it.
        evaluations: evaluations of the style loss, over all slices.
        compile_seconds: time to compile.
        run_seconds: time to run.
        slices: per slice its index in the file, status and score.
        warnings: what the user was told.

    Returns:
        A dict that JSON can hold.
    """
    return {
        "Description": "Low-field MRI brought to the look of a high-field scan by regularization with neural style "
        "transfer (RNST)",
        "SyntheticImage": True,
        "Note": _NOTE,
        "Sources": [uri if uri and role == "content" else file["File"] for role, file in identity["Inputs"].items()],
        **identity,
        "Found": dict(found),
        "Evaluations": evaluations,
        "CompileSeconds": round(compile_seconds, 3),
        "RunSeconds": round(run_seconds, 3),
        "Slices": [dict(entry) for entry in slices],
        "Warnings": list(warnings),
    }


def simulated(
    *,
    inputs: Mapping[str, pathlib.Path],
    settings: Mapping[str, Any],
    device: str,
    seed: int,
    run_seconds: float,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of a simulated scan's sidecar JSON, files again without their folders.

    Args:
        inputs: role (content, and grey, white, csf, fat for tissue maps) to file.
        settings: every number that decides the output.
        device: the device in words.
        seed: the seed of the random key.
        run_seconds: time to compile and run.
        warnings: what the user was told.

    Returns:
        A dict that JSON can hold.
    """
    return {
        "Description": "A scan as another field would show it, simulated from relaxation laws, k-space and noise",
        "SyntheticImage": True,
        "Note": "For research use only. Simulated, not measured. Not for diagnosis or treatment.",
        "Sources": [label(path) for path in inputs.values()],
        "GeneratedBy": [
            {"Name": "rnst_jax", "Version": __version__, "Device": device, "Packages": versions()},
        ],
        "Inputs": {role: {"File": label(path), "SHA256": sha256(path)} for role, path in inputs.items()},
        "Seed": seed,
        "Settings": dict(settings),
        "RunSeconds": round(run_seconds, 3),
        "Warnings": list(warnings),
    }
