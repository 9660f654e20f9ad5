"""One file over https, resumed where an earlier attempt stopped."""

import contextlib
import ipaddress
import os
import pathlib
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rnst_jax.features.pickles import MAX_BYTES
from rnst_jax.features.weights import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be (None where the server does not say)."""

_CHUNK = 1 << 16


class FetchError(WeightsError):
    """The network failed, not the file; the message says how to do without."""


class Resumable(NamedTuple):
    """A downloader for pooch: what was received is kept beside the output until it is complete.

    Attributes:
        part: the file for what was received.
        timeout: seconds to connect, and between two pieces of the answer.
        pinned: the sha256 is known in full, so that even an unprotected connection cannot deliver something else.
        progress: told how far it is.
    """

    part: pathlib.Path
    timeout: tuple[float, float]
    pinned: bool
    progress: Progress

    def __call__(self, url: str, output_file: str, pooch: Any = None, check_only: bool = False) -> None:
        """Download ``url`` to ``output_file``."""
        have = self.part.stat().st_size if self.part.exists() else 0
        response = self._ask(url, have)
        if have and not _goes_on(response, have):
            response.close()
            self.part.unlink()
            have, response = 0, self._ask(url, 0)
        with response:
            response.raise_for_status()
            if response.status_code != 206:
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length is not None else None
            _limit(url, total or 0)
            with self.part.open("ab" if have else "wb") as stream:
                self.progress(have, total)
                for chunk in response.iter_content(_CHUNK):
                    have += len(chunk)
                    _limit(url, have)
                    stream.write(chunk)
                    self.progress(have, total)
        if total is not None and have < total:
            raise FetchError(f"{label(url)}: broke off after {have:,} of {total:,} bytes; run the command again")
        os.replace(self.part, output_file)

    def _ask(self, url: str, have: int) -> Any:
        import requests

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        response = requests.get(url, stream=True, timeout=self.timeout, headers=headers)
        for step in (*response.history, response):
            check_address(step.url, self.pinned)
        return response


def _limit(url: str, size: int) -> None:
    if size > MAX_BYTES:
        raise WeightsError(f"{label(url)}: larger than {MAX_BYTES >> 30} GiB; is it the right address?")


def _goes_on(response: Any, have: int) -> bool:
    """Whether the answer to a request for the rest is the rest, or the whole."""
    if response.status_code == 206:
        return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return response.status_code != 416


def check_address(url: str, pinned: bool) -> None:
    """Raise ValueError unless an address is https, or unprotected http where nobody could exploit it."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and (pinned or _is_here(parts.hostname or ""))):
        return
    raise ValueError(f"{label(url)}: not https; give an https address, or http with the file's --sha256, or a path")


def _is_here(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def label(url: str) -> str:
    """An address without user, password and query, which may be secrets.

    Examples:
        >>> label("https://me:word@example.org/a.pth?token=1")
        'https://example.org/a.pth'
    """
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextlib.contextmanager
def explained(url: str, remedy: str, timeout: tuple[float, float]) -> Iterator[None]:
    """Turn the failures of a connection into one line that says what to do."""
    import requests
    import urllib3

    again = f"run the command again, it goes on where it stopped, or {remedy}"
    try:
        yield
    except requests.HTTPError as error:
        answer: Any = error.response
        reason = f"the server answers {answer.status_code} {answer.reason}"
        raise FetchError(f"{label(url)}: {reason}; {remedy}") from error
    except requests.RequestException as error:
        # requests wraps a timeout in the middle of an answer into a ConnectionError.
        cause = error.args[0] if error.args else None
        if isinstance(error, requests.Timeout) or isinstance(cause, urllib3.exceptions.ReadTimeoutError):
            reason = f"no connection within {timeout[0]:g} s or no data for {timeout[1]:g} s"
        elif isinstance(error, requests.exceptions.ChunkedEncodingError):
            reason = "the connection broke off"
        else:
            reason = f"no connection ({type(error).__name__})"
        raise FetchError(f"{label(url)}: {reason}; {again}") from error
