"""Variable-length contents of HDF5 files, measured before they are read.

The HDF5 library allocates what a damaged length promises, gigabytes of it, before it looks whether the file holds that.
The lengths stand in the dataset's own storage: 4 bytes of length, 8 of address and 4 of index per element.

Source: HDF5 File Format Specification 3.0, section VIII, "Reference Encoding" and variable-length types.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnst_jax.io.errors import RefusedInput

_DESCRIPTOR = 16
_REMEDY = "write it again without compression (h5repack -f NONE), or export it again"


def check(path: pathlib.Path, dataset: Any) -> None:
    """Refuse a dataset whose variable-length elements would together be larger than its file.

    Args:
        path: the file.
        dataset: of h5py; one without variable-length elements passes.

    Raises:
        RefusedInput: they are, or their storage cannot be looked at.
    """
    kind = dataset.id.get_type()
    found = list(_elements(kind, 0))
    if not found:
        return
    # alone, a string is a pointer in memory, where it is a descriptor in the file
    record = max(_DESCRIPTOR, kind.get_size())
    limit, total = path.stat().st_size, 0
    for raw in _storage(path, dataset):
        rows = np.frombuffer(raw, np.uint8)[: len(raw) // record * record].reshape(-1, record)
        for offset, size in found:
            lengths = np.ascontiguousarray(rows[:, offset : offset + 4]).view("<u4")
            total += int(lengths.astype(np.int64).sum()) * size
        if total > limit:
            raise RefusedInput(f"{path}: '{dataset.name}' claims {total} bytes, more than the file; copy it again")


def _elements(kind: Any, offset: int) -> Iterator[tuple[int, int]]:
    """Offset in a record and size of an item, of each variable-length part of a type."""
    from h5py import h5t

    family = kind.get_class()
    if family == h5t.COMPOUND:
        for n in range(kind.get_nmembers()):
            yield from _elements(kind.get_member_type(n), offset + kind.get_member_offset(n))
    elif family == h5t.VLEN:
        yield offset, kind.get_super().get_size()
    elif family == h5t.STRING and kind.is_variable_str():
        yield offset, 1


def _storage(path: pathlib.Path, dataset: Any) -> Iterator[bytes]:
    """The bytes of a dataset as they lie in the file."""
    import h5py

    low = dataset.id
    layout = low.get_create_plist()
    if layout.get_nfilters() or layout.get_layout() == h5py.h5d.COMPACT:
        raise RefusedInput(f"{path}: the storage of '{dataset.name}' cannot be checked; {_REMEDY}")
    if layout.get_layout() == h5py.h5d.CHUNKED:
        grid = np.ndindex(*(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)))
        corners = (tuple(i * c for i, c in zip(at, dataset.chunks, strict=True)) for at in grid)
        infos = (low.get_chunk_info_by_coord(corner) for corner in corners)
        places = ((info.byte_offset, info.size) for info in infos if info.byte_offset is not None)
    else:
        offset = low.get_offset()
        places = iter([] if offset is None else [(offset, low.get_storage_size())])
    limit = path.stat().st_size
    with path.open("rb") as stream:
        for offset, size in places:
            if offset + size > limit:
                raise RefusedInput(f"{path}: '{dataset.name}' ends behind the file; copy it again")
            stream.seek(offset)
            yield stream.read(size)
