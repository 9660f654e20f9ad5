"""Weight files: where they are, whether they are what the manifest says, what is in them.

Only safetensors are read at run time. The files that come with the package are listed in ``weights/MANIFEST.json``
with source, licence and sha256.
"""

import contextlib
import hashlib
import json
import pathlib

import numpy as np
import safetensors


class WeightsError(Exception):
    """A weight file is missing, damaged or not the model it is said to be; the message names it and the remedy."""


def folder() -> pathlib.Path:
    """The folder of the packaged weights: inside an installed wheel, or at the top of a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for candidate in (package / "weights", package.parent / "weights"):
        if (candidate / "MANIFEST.json").is_file():
            return candidate
    raise WeightsError("weights/MANIFEST.json is not installed with rnst_jax; reinstall the package")


def manifest() -> dict[str, dict]:
    """The entries of ``weights/MANIFEST.json`` by model name.

    Example:
        >>> manifest()["vgg16"]["file"]
        'vgg16.safetensors'
    """
    return json.loads((folder() / "MANIFEST.json").read_text())


def find(name: str) -> pathlib.Path:
    """The file of a packaged model.

    Raises:
        WeightsError: no such model in the manifest, or its file is gone.
    """
    entries = manifest()
    if name not in entries:
        raise WeightsError(f"no packaged weights for '{name}' (there are: {', '.join(entries)}); give a file")
    path = folder() / entries[name]["file"]
    if not path.is_file():
        raise WeightsError(f"{path}: missing; reinstall the package")
    return path


def sha256(path: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(name: str) -> pathlib.Path:
    """The file of a packaged model, after its sha256 has been compared with the manifest's.

    Raises:
        WeightsError: as `find`, or the checksum differs.
    """
    path = find(name)
    if (found := sha256(path)) != manifest()[name]["sha256"]:
        raise WeightsError(f"{path}: sha256 {found[:12]}... is not the manifest's; reinstall the package")
    return path


def names(path: pathlib.Path) -> set[str]:
    """The names of the tensors in a safetensors file.

    Raises:
        WeightsError: missing, or not a safetensors file.
    """
    with _open(path) as file:
        return set(file.keys())


def read(path: pathlib.Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the named tensors of a safetensors file, checked.

    Args:
        path: the file.
        shapes: the tensors wanted and their shapes; others in the file are not read.

    Raises:
        WeightsError: not a safetensors file, a tensor is missing, has another shape, is not float32 or not finite.
    """
    with _open(path) as file:
        if missing := sorted(set(shapes) - set(file.keys())):
            raise WeightsError(f"{path}: lacks {', '.join(missing)}; is it the right model?")
        tensors = {name: file.get_tensor(name) for name in shapes}
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise WeightsError(f"{path}: {name} is {tensor.dtype} {tensor.shape}, expected float32 {shape}")
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    return tensors


@contextlib.contextmanager
def _open(path: pathlib.Path):
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error
