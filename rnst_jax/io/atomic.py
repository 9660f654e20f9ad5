"""Files that appear whole or not at all."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from rnst_jax.io.errors import UsageError


def check_output(path: pathlib.Path, inputs: Iterable[pathlib.Path] = (), force: bool = False) -> None:
    """Refuse a place that cannot or must not be written to, before any work is done.

    Args:
        path: the output.
        inputs: files that it must never replace, whatever ``force`` says.
        force: whether an existing file may be replaced.

    Raises:
        UsageError: the folder is missing or not writable; the path is a folder, an input, or exists without ``force``.
    """
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{path}: its folder does not exist; create it first (mkdir -p '{folder}')")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: its folder is not writable; choose another place")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; give a file name in it")
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise UsageError(f"{path}: is an input of this command; choose another output name")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path}: exists; choose another name or give --force to replace it")


@contextlib.contextmanager
def replacing(path: pathlib.Path, force: bool = False) -> Iterator[BinaryIO]:
    """A stream whose bytes become ``path`` when the block ends well, and vanish when it does not.

    The bytes go to a hidden file in the same folder (so that the rename stays on one file system) with the same
    suffix; it is flushed to the disk and renamed.

    Args:
        path: the output.
        force: whether an existing file may be replaced.

    Raises:
        UsageError: see `check_output`.
        OSError: the disk is full, say; nothing is left behind.
    """
    check_output(path, force=force)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        # Exclusive, so that nothing is followed or overwritten; the mode is cut by the user's umask, as for any file.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        check_output(path, force=force)  # somebody else may have written it meanwhile
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder that takes the place of ``folder`` when the block ends well, and vanishes when it does not.

    A folder of this name is removed first: whether it may be is the caller's to check.
    """
    place = folder.with_name(f".{secrets.token_hex(4)}.{folder.name}")
    place.mkdir()
    try:
        yield place
        if folder.is_dir():
            shutil.rmtree(folder)
        place.rename(folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def remove_leftovers(path: pathlib.Path) -> None:
    """Remove the hidden files that `replacing` left for ``path`` in processes that were killed."""
    pattern = re.compile(rf"\.[0-9a-f]{{8}}\.{re.escape(path.name)}")
    for other in path.parent.iterdir():
        if pattern.fullmatch(other.name):
            other.unlink(missing_ok=True)


def write_json(path: pathlib.Path, content: dict[str, Any], force: bool = False) -> None:
    """Write a dict as indented JSON, whole or not at all.

    Numbers that JSON cannot hold are refused rather than written as NaN, which other readers reject.

    Raises:
        UsageError: see `check_output`.
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path, force) as stream:
        stream.write(text.encode())
