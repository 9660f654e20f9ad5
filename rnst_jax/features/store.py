"""Writing weight files: whole or not at all, and then into the manifest."""

import contextlib
import json
import os
import pathlib
import secrets
import stat
import time
from collections.abc import Iterator

from rnst_jax.features.weights import MANIFEST, WeightsError, cached

_STALE = 30.0
"""Seconds after which a lock was left by a process that died; it is held for some milliseconds."""


@contextlib.contextmanager
def placing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden name in the same folder whose file becomes ``path`` when the block ends well, and vanishes otherwise.

    Its mode is cut by the user's umask, as for any file, whatever the block does to write it.

    Examples:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with placing(folder / "a.txt") as hidden:
        ...     _ = hidden.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    hidden = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        hidden.touch(exist_ok=False)
        mode = stat.S_IMODE(hidden.stat().st_mode)
        yield hidden
        hidden.chmod(mode)  # safetensors makes files that their owner alone may read
        with hidden.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def write_entries(path: pathlib.Path, entries: dict[str, dict]) -> None:
    """Write a manifest."""
    with placing(path) as hidden:
        hidden.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def add_to_cache(cache: pathlib.Path, name: str, entry: dict) -> None:
    """Add an entry to the manifest of a cache, or replace it; several processes may do so at once.

    Raises:
        WeightsError: the manifest is damaged, or another process does not let go of it.
    """
    with _locked(cache / ".MANIFEST.lock"):
        write_entries(cache / MANIFEST, cached(cache) | {name: entry})


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    begun = time.monotonic()
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # released meanwhile
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()
        if time.monotonic() - begun > 2 * _STALE:
            raise WeightsError(f"{path}: held by another process; remove it if none runs")
        time.sleep(0.01)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
