"""From a published weight file to the one that is read at run time."""

import pathlib
import re
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from rnst_jax.features import pickles, store, weights
from rnst_jax.features.catalogue import find
from rnst_jax.features.naming import canonical
from rnst_jax.features.weights import WeightsError

_READABLE = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def convert(
    name: str,
    source: pathlib.Path,
    out: pathlib.Path | None = None,
    *,
    force: bool = False,
    cache: pathlib.Path | None = None,
    origin: str | None = None,
    training: str | None = None,
    licence: str | None = None,
) -> dict[str, Any]:
    """Convert a state dict to safetensors in float32, and note where it came from.

    The file appears whole or not at all, its entry after it. The same source gives the same bytes everywhere.

    Args:
        name: the model, a key of `rnst_jax.features.catalogue.MODELS`.
        source: .pth, .pt, .bin or .safetensors, in a naming that `rnst_jax.features.naming.canonical` knows.
        out: F.safetensors, its entry is written to F.json; by default ``NAME.safetensors`` in the cache, its entry
            in the cache's MANIFEST.json.
        force: replace what is there.
        cache: instead of `rnst_jax.features.weights.cache_folder`.
        origin: where the source comes from, for the entry; by default its file name (a folder may hold a user's name).
        training: on what the network was trained; by default known of torchvision's own files, else "unknown".
        licence: likewise.

    Returns:
        The manifest entry: file, sha256, bytes, taps, training, source, source_sha256, licence.

    Raises:
        ValueError: unknown model, or a bad output name.
        FileExistsError: the output exists, and no ``force``.
        WeightsError: the source cannot be read safely, or is not this model; with a list of what is wrong.
    """
    model = find(name)
    if out is None:
        folder = cache or weights.cache_folder()
        target = folder / f"{name}.safetensors"
        taken = name in weights.cached(folder) and target.exists()
    else:
        target = out
        taken = target.exists() or target.with_suffix(".json").exists()
        if target.suffix != ".safetensors":
            raise ValueError(f"{target}: weights are written as safetensors; give a name that ends in .safetensors")
        if target.exists() and source.exists() and target.samefile(source):
            raise ValueError(f"{target}: is the file to convert; give another name")
    if taken and not force:
        raise FileExistsError(f"{target}: exists (or its entry does); give another name or --force to replace it")

    tensors = read_source(source)
    try:
        stored = canonical(name, tensors)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    source_sha256 = weights.sha256(source)
    official = source_sha256.startswith(prefix(model.file))
    entry = {
        "file": target.name,
        "sha256": "",
        "bytes": 0,
        "taps": "all",
        "training": training or (f"ImageNet-1k classification (torchvision's {model.file})" if official else "unknown"),
        "source": origin or source.name,
        "source_sha256": source_sha256,
        "licence": licence or ("BSD-3-Clause (torchvision weights)" if official else "unknown"),
    }
    if out is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    with store.placing(target) as hidden:
        save_file({key: np.ascontiguousarray(array, np.float32) for key, array in stored.items()}, hidden)
        entry |= {"sha256": weights.sha256(hidden), "bytes": hidden.stat().st_size}
    # From here to the new entry an old one refuses the new file; the other way round it would vouch for a wrong one.
    if out is None:
        store.add_to_cache(target.parent, name, entry)
    else:
        store.write_entries(target.with_suffix(".json"), {name: entry})
    return entry


def read_source(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a published weight file, whichever of the formats it has.

    Raises:
        WeightsError: see `rnst_jax.features.pickles.read`; or bad safetensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file; check the path")
    with path.open("rb") as stream:
        start = stream.read(9)
    # safetensors begins with the length of its header (so small that the upper bytes are zero), then the header.
    if path.suffix != ".safetensors" and not (start[4:8] == bytes(4) and start[8:] == b"{"):
        return pickles.read(path)
    if path.stat().st_size > pickles.MAX_BYTES:
        raise WeightsError(f"{path}: larger than {pickles.MAX_BYTES >> 30} GiB; no extractor is that large")
    with weights.opened(path) as file:
        for key in file.keys():  # noqa: SIM118 (the file is no dict)
            if (dtype := file.get_slice(key).get_dtype()) not in _READABLE:
                raise WeightsError(f"{path}: {key} is stored as {dtype}; save it as float32 or float16")
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def prefix(file: str) -> str:
    """The digits that begin a file's sha256 by its name, in torchvision's manner; empty where it has none.

    Examples:
        >>> prefix("vgg16-397923af.pth"), prefix("mine.pth")
        ('397923af', '')
    """
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", file)
    return found[1] if found else ""
