"""Published weights into the cache of the user: download, check, convert, note."""

import contextlib
import importlib.util
import logging
import pathlib
import re
from typing import Any

from rnst_jax.features import weights
from rnst_jax.features.catalogue import find
from rnst_jax.features.convert import convert, prefix
from rnst_jax.features.download import Progress, Resumable, check_address, explained, label
from rnst_jax.features.weights import WeightsError

_DOWNLOADS = ".downloads"
"""Folder in the cache for what is not yet complete, checked and converted."""


def fetch(
    name: str,
    source: str | pathlib.Path | None = None,
    cache: pathlib.Path | None = None,
    *,
    sha256: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    timeout: tuple[float, float] = (10.0, 60.0),
) -> pathlib.Path:
    """Get the weights of a model into the cache, from where `rnst_jax.features.load` finds them by name.

    A file that is there already and sound is kept. What an interrupted download received is kept too, and the next
    call goes on there. Nothing is read before its sha256 was compared: with ``sha256`` if given, else, for a download,
    with the digits in the name of torchvision's file, and for a local file with those in its own name, if any.

    Args:
        name: the model, a key of `rnst_jax.features.catalogue.MODELS`.
        source: an address or a local file instead of torchvision's address.
        cache: instead of `rnst_jax.features.weights.cache_folder`.
        sha256: of the source, in full; needed for a download that is not torchvision's file.
        force: replace what is there.
        progress: called with bytes received and expected.
        timeout: seconds to connect, and to wait for a next piece.

    Returns:
        The safetensors file in the cache.

    Raises:
        ValueError: unknown model, a sha256 that is none, an address that is not https.
        FileExistsError: the cache has this model from another source, and no ``force``.
        ModuleNotFoundError: a download without the ``fetch`` extra.
        FetchError: the network failed (a `WeightsError` too).
        WeightsError: the file is not the one that was expected, or not this model.
    """
    model = find(name)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"'{sha256}' is no sha256: give its 64 hexadecimal digits")
    cache = cache or weights.cache_folder()
    address = model.url if source is None else str(source)
    if "://" not in address:
        return _from_file(name, pathlib.Path(address), cache, sha256, force)
    check_address(address, sha256 is not None)
    expected = (sha256 or prefix(model.file)).lower()
    if not force and (found := _kept(name, cache, expected)):
        return found
    received = _download(name, address, expected, cache, progress or (lambda done, total: None), timeout)
    try:
        _compare(label(address), weights.sha256(received), expected)
        entry = convert(name, received, force=True, cache=cache, origin=label(address))
    except WeightsError:
        received.unlink()  # it would be refused again
        raise
    received.unlink()
    with contextlib.suppress(OSError):  # another download is under way there
        received.parent.rmdir()
    return cache / entry["file"]


def _from_file(name: str, path: pathlib.Path, cache: pathlib.Path, sha256: str | None, force: bool) -> pathlib.Path:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; check the path (an address begins with https://)")
    digest = weights.sha256(path)
    _compare(str(path), digest, (sha256 or prefix(path.name)).lower())
    if not force and (found := _kept(name, cache, digest)):
        return found
    return cache / convert(name, path, force=True, cache=cache)["file"]


def _compare(place: str, digest: str, expected: str) -> None:
    if not digest.startswith(expected):
        raise WeightsError(
            f"{place}: its sha256 begins with {digest[:8]}, expected {expected[:8]}; "
            "it is damaged or another file: get it again, or give the sha256 that you expect by --sha256"
        )


def _kept(name: str, cache: pathlib.Path, expected: str) -> pathlib.Path | None:
    """The file in the cache if it is sound; None if there is none or it is damaged."""
    entry = weights.cached(cache).get(name)
    if entry is None:
        return None
    path = cache / entry["file"]
    if not path.is_file() or weights.sha256(path) != entry["sha256"]:
        return None
    if not entry["source_sha256"].startswith(expected):
        raise FileExistsError(f"{path}: {name} from another source ({entry['source']}); give --force to replace it")
    return path


def _download(
    name: str, url: str, expected: str, cache: pathlib.Path, progress: Progress, timeout: tuple[float, float]
) -> pathlib.Path:
    if missing := [module for module in ("pooch", "requests") if importlib.util.find_spec(module) is None]:
        raise ModuleNotFoundError(f"a download needs {' and '.join(missing)}: pip install 'rnst-jax[fetch]'")
    import pooch

    file = f"{name}-{expected[:8]}.pth"
    folder = cache / _DOWNLOADS
    remedy = (
        f"without a network get {find(name).file} on another machine, copy it here and run: "
        f"rnst weights fetch {name} --from FILE"
    )
    downloader: Any = Resumable(folder / f"{file}.part", timeout, len(expected) == 64, progress)
    with explained(url, remedy, timeout), _silent(pooch.get_logger()):
        # pooch gets no hash: of most files only the first digits are known, which the caller compares.
        return pathlib.Path(pooch.retrieve(url, known_hash=None, fname=file, path=folder, downloader=downloader))


@contextlib.contextmanager
def _silent(logger: logging.Logger) -> Any:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
