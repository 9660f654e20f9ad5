"""Weight files: where they are, whether they are what a manifest says, what is in them.

Only safetensors are read at run time. The files that come with the package are listed in ``weights/MANIFEST.json``
with source, licence and sha256, those that were fetched or converted in the MANIFEST.json of the user's cache, and a
file that was converted to a place of the user's choice in a JSON file of the same name beside it.
"""

import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import safetensors

from rnst_jax.checksum import sha256

MANIFEST = "MANIFEST.json"
_MAX_HEADER = 32 << 20
"""Bytes; the header of the largest extractor has less than 0.1 MB."""


class WeightsError(Exception):
    """A weight file is missing, damaged or not the model it is said to be; the message names it and the remedy."""


class Located(NamedTuple):
    """A weight file that a manifest lists, and what to do if it is damaged."""

    path: pathlib.Path
    entry: dict
    remedy: str


def folder() -> pathlib.Path:
    """The folder of the packaged weights: inside an installed wheel, or at the top of a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for candidate in (package / "weights", package.parent / "weights"):
        if (candidate / MANIFEST).is_file():
            return candidate
    raise WeightsError("weights/MANIFEST.json is not installed with rnst_jax; reinstall the package")


def cache_folder() -> pathlib.Path:
    """The folder for fetched weights, the same as ``pooch.os_cache("rnst-jax")``; it need not exist.

    ``$XDG_CACHE_HOME/rnst-jax`` or ``~/.cache/rnst-jax``; ``~/Library/Caches/rnst-jax`` on macOS and
    ``%LOCALAPPDATA%\\rnst-jax\\rnst-jax\\Cache`` on Windows.
    """
    home = pathlib.Path.home()
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local", *["rnst-jax"] * 2, "Cache")
    default = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(chosen) if os.path.isabs(chosen) else default) / "rnst-jax"


def manifest() -> dict[str, dict]:
    """The entries of the package's ``weights/MANIFEST.json`` by model name.

    Examples:
        >>> manifest()["vgg16"]["file"]
        'vgg16.safetensors'
    """
    return entries(folder() / MANIFEST)


def cached(cache: pathlib.Path | None = None) -> dict[str, dict]:
    """The entries of the cache's MANIFEST.json by model name; none where nothing was fetched yet.

    Raises:
        WeightsError: the manifest is damaged.
    """
    path = (cache or cache_folder()) / MANIFEST
    return entries(path) if path.is_file() else {}


def entries(path: pathlib.Path) -> dict[str, dict]:
    """The entries of a manifest by model name.

    Raises:
        WeightsError: it is no JSON, or an entry lacks a plain file name or the sha256.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for entry in found.values():
            if pathlib.PurePath(entry["file"]).name != entry["file"] or not isinstance(entry["sha256"], str):
                raise ValueError("an entry names no file of its folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a manifest of weights ({error}); move it away, then fetch or convert again"
        ) from error
    return found


def locate(name: str) -> Located:
    """The file of a model by its name: the package's, or else the cache's.

    Raises:
        WeightsError: neither manifest lists the model, or the file is gone.
    """
    packaged = manifest()
    if name in packaged:
        found = Located(folder() / packaged[name]["file"], packaged[name], "reinstall the package")
    elif name in (fetched := cached()):
        remedy = f"get it again: rnst weights fetch {name} --force"
        found = Located(cache_folder() / fetched[name]["file"], fetched[name], remedy)
    else:
        raise WeightsError(
            f"no packaged weights for '{name}' (there are: {', '.join(packaged)}) and none in {cache_folder()}; "
            f"run: rnst weights fetch {name}, or give a file"
        )
    if not found.path.is_file():
        raise WeightsError(f"{found.path}: missing; {found.remedy}")
    return found


def find(name: str) -> pathlib.Path:
    """The file of a packaged or fetched model.

    Raises:
        WeightsError: no such model in either manifest, or its file is gone.
    """
    return locate(name).path


def verify(name: str) -> pathlib.Path:
    """The file of a packaged or fetched model, after its sha256 has been compared with the manifest's.

    Raises:
        WeightsError: as `find`, or the checksum differs.
    """
    path, entry, remedy = locate(name)
    if (found := sha256(path)) != entry["sha256"]:
        raise WeightsError(f"{path}: sha256 {found[:12]}... is not the manifest's; {remedy}")
    return path


def verify_file(path: pathlib.Path) -> bool:
    """Compare a file with the manifest entry beside it, F.json beside F.safetensors.

    Returns:
        Whether there is an entry; without one nothing was compared.

    Raises:
        WeightsError: no such file, the checksum differs, or the JSON file is damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return False
    stated = {entry["sha256"] for entry in entries(beside).values()}
    if (found := sha256(path)) not in stated:
        raise WeightsError(
            f"{path}: sha256 {found[:12]}... is not what {beside.name} says; convert it again, or remove {beside.name}"
        )
    return True


def names(path: pathlib.Path) -> set[str]:
    """The names of the tensors in a safetensors file.

    Raises:
        WeightsError: missing, or not a safetensors file.
    """
    with opened(path) as file:
        return set(file.keys())


def read(path: pathlib.Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the named tensors of a safetensors file, checked; the sha256 too, if there is an entry beside the file.

    Args:
        path: the file.
        shapes: the tensors wanted and their shapes; others in the file are not read.

    Raises:
        WeightsError: not a safetensors file, not what the entry beside it says, or a tensor is missing, has another
            shape, is not float32 or not finite.
    """
    verify_file(path)
    with opened(path) as file:
        if missing := sorted(set(shapes) - set(file.keys())):
            raise WeightsError(f"{path}: lacks {', '.join(missing)}; is it the right model?")
        for name, shape in shapes.items():
            # Before anything is read: a wrong file may hold gigabytes under a name that is wanted.
            view = file.get_slice(name)
            if (found := tuple(view.get_shape())) != shape or view.get_dtype() != "F32":
                dtype = _NUMPY.get(view.get_dtype(), view.get_dtype())
                raise WeightsError(f"{path}: {name} is {dtype} {found}, expected float32 {shape}")
        tensors = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    return tensors


_NUMPY = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[safetensors.safe_open]:
    """A safetensors file, after a look at the length of its header.

    Raises:
        WeightsError: no such file, truncated, or not safetensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    _check_header(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); get it again") from error


def _check_header(path: pathlib.Path) -> None:
    # The file begins with the length of its header, which is compared with the file's before anything is allocated.
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(9)
    claimed = int.from_bytes(start[:8], "little")
    if len(start) < 9:
        fault = f"{size} bytes are too few"
    elif start[8:] != b"{":
        fault = "it does not begin with a header"
    elif claimed > min(size - 8, _MAX_HEADER):
        fault = f"its header claims {claimed:,} bytes, the file has {size:,}"
    else:
        return
    raise WeightsError(f"{path}: not a readable safetensors file ({fault}); get it again")
