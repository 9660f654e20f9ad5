"""State dicts in torch's own files (.pth, .pt, .bin) as NumPy arrays, without running what the file says.

Both of torch's formats are read: the zip archive (since 1.6) and the stacked pickles before it, which torchvision's
older files still are. torch itself reads them where it is installed, with ``weights_only=True``; elsewhere
`rnst_jax.features.unpickle` does.
"""

import importlib.metadata
import importlib.util
import io
import math
import mmap
import pathlib
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from rnst_jax.features import unpickle
from rnst_jax.features.unpickle import Storage, Tensor
from rnst_jax.features.weights import WeightsError

MAX_BYTES = 4 << 30
"""The largest file that is opened."""

_WRAPPERS = ("state_dict", "model", "state_dict_ema")
"""Where training scripts put the state dict inside of a checkpoint, in the order of search."""

_MAX_PROGRAM = 16 << 20
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SAFE_TORCH = (2, 6)
"""Before 2.6 a crafted file could run code despite ``weights_only=True`` (CVE-2025-32434)."""


def read(path: pathlib.Path, with_torch: bool | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dict that torch saved.

    A state dict under the key "state_dict", "model" or "state_dict_ema" of a checkpoint is found there. Numbers
    beside the tensors are left out. float16 and bfloat16 become float32, other types stay.

    Args:
        path: the file.
        with_torch: whether torch reads it; by default if torch 2.6 or later is installed.

    Returns:
        Arrays by the names in the file.

    Raises:
        WeightsError: no file, too large, damaged, not torch's, holds no tensors, or holds (or would run) anything
            that is neither a tensor nor a plain value.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(f"{path}: larger than {MAX_BYTES >> 30} GiB; no extractor is that large")
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\3\4"
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                members = _members(archive, path.stat().st_size)
                return _read_with_torch(path) if _use_torch(with_torch) else _read_zip(archive, members)
        return _read_with_torch(path) if _use_torch(with_torch) else _read_stacked(path)
    except (ValueError, OverflowError, EOFError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path}: not a state dict that can be read safely: {reason}") from error


def _use_torch(wanted: bool | None) -> bool:
    if wanted is not None:
        return wanted
    if importlib.util.find_spec("torch") is None:
        return False
    return tuple(int(part) for part in importlib.metadata.version("torch").split(".")[:2]) >= _SAFE_TORCH


def _read_with_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    import torch  # pyright: ignore[reportMissingImports]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is whether it can be read
            tree = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # torch's message begins with how to switch its protection off, which nobody should be told here.
        told = re.search(r"unsupported .*", str(error), re.IGNORECASE)
        reason = told[0] if told else str(error).strip().partition("\n")[0]
        raise ValueError(f"torch: {reason.partition('. ')[0]}") from error
    found = _state_dict(tree, torch.Tensor)
    _limit(tensor.numel() * tensor.element_size() for tensor in found.values())
    half = (torch.float16, torch.bfloat16)
    try:
        return {
            name: (tensor.float() if tensor.dtype in half else tensor).detach().numpy()
            for name, tensor in found.items()
        }
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"has a tensor that is sparse or quantised: {error}") from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's members below its only folder; torch compresses nothing, so none is larger than the file."""
    members, folders = {}, set()
    for info in archive.infolist():
        folder, _, name = info.filename.partition("/")
        folders.add(folder)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise ValueError(f"{info.filename[:80]!a} is compressed or encrypted, which torch does not do")
        if not 0 <= info.header_offset < size:
            raise ValueError(f"{info.filename[:80]!a} lies outside of the file")
        if name in members:
            raise ValueError(f"{info.filename[:80]!a} is there twice")
        members[name] = info
    if sum(info.file_size for info in members.values()) > size:
        raise ValueError("its members claim more bytes than the file has")
    if len(folders) != 1 or "data.pkl" not in members:
        raise ValueError("a zip archive without data.pkl in its one folder, so not written by torch.save")
    if "constants.pkl" in members:
        raise ValueError("a TorchScript archive; save the model's state_dict() with torch.save")
    if members["data.pkl"].file_size > _MAX_PROGRAM:
        raise ValueError(f"its data.pkl is larger than {_MAX_PROGRAM >> 20} MiB, which no state dict needs")
    return members


def _read_zip(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, np.ndarray]:
    tree = unpickle.load(io.BytesIO(archive.read(members["data.pkl"])))
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise ValueError("written on a big-endian machine; save it again on another")

    def numbers(storage: Storage) -> np.ndarray:
        info = members.get(f"data/{storage.key}")
        if info is None or info.file_size != storage.count * storage.dtype.itemsize:
            raise ValueError(f"its storage {storage.key[:80]!a} is missing or has another size than stated")
        return np.frombuffer(archive.read(info), storage.dtype)

    return _arrays(_state_dict(tree, Tensor), numbers)


def _read_stacked(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Pickles one after the other: a magic number, a version, the machine, the tree, the storages' keys; then those.

    Each storage is its length as int64, then its numbers.
    """
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    # A map of the file is a stream that cannot be asked for more bytes than there are.
    with path.open("rb") as file:
        stream: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if stream[:1] != b"\x80" or unpickle.load(stream) != _MAGIC:
        raise ValueError("it has neither of torch's formats (nor safetensors)")
    declared: dict[str, Storage] = {}
    version, machine = unpickle.load(stream), unpickle.load(stream)
    if version != _PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("written by an unknown version of torch or on a big-endian machine")
    tree, keys = unpickle.load(stream, declared), unpickle.load(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(declared):
        raise ValueError("its list of storages is not that of its tensors")
    begins, position = {}, stream.tell()
    for storage in (declared[key] for key in keys):
        stated = struct.unpack("<q", stream[position : position + 8])[0] if position + 8 <= len(stream) else None
        begins[storage] = position + 8
        position += 8 + storage.count * storage.dtype.itemsize
        if stated != storage.count or position > len(stream):
            raise ValueError("it ends early, or a storage has another size than stated")
    if position != len(stream):
        raise ValueError("it goes on behind its last storage")
    return _arrays(
        _state_dict(tree, Tensor),
        lambda storage: np.frombuffer(stream, storage.dtype, storage.count, begins[storage]),
    )


def _state_dict(tree: Any, kind: type) -> dict[str, Any]:
    """The tensors by name, from a state dict or a checkpoint that holds one."""
    if isinstance(tree, Mapping):
        for inner in (tree, *(tree[key] for key in _WRAPPERS if key in tree)):
            if isinstance(inner, Mapping):
                found = {str(name): value for name, value in inner.items() if isinstance(value, kind)}
                if found:
                    return found
    raise ValueError(f"no tensors by name, not under {', '.join(_WRAPPERS)} either")


def _arrays(tensors: Mapping[str, Tensor], numbers: Callable[[Storage], np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that the descriptions stand for; those on one storage share its memory unless they are widened."""
    _limit(math.prod(tensor.shape) * tensor.storage.dtype.itemsize for tensor in tensors.values())
    read: dict[Storage, np.ndarray] = {}
    found = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        if storage not in read:
            read[storage] = numbers(storage)
        strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
        if math.prod(tensor.shape) == 0:
            array = np.zeros(tensor.shape, storage.dtype)
        else:
            # In bounds: unpickle has compared offset, shape and strides with the storage's length.
            array = as_strided(read[storage][tensor.offset :], tensor.shape, strides, writeable=False)
        half = storage.dtype.itemsize == 2 and storage.dtype.kind != "i"
        found[name] = array.astype(np.float32) if half else array
    return found


def _limit(sizes: Iterable[int]) -> None:
    # Thousands of tensors may share one storage; widened, each would be a copy.
    if sum(sizes) > MAX_BYTES:
        raise ValueError(f"its tensors are larger than {MAX_BYTES >> 30} GiB together")
