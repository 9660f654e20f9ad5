"""SIGINT and SIGTERM: a run ends in order, and what it has finished is kept."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user or the system ended the run; the message says what is left of it."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within, SIGTERM ends the program as Ctrl-C does, so that half-written files are removed."""

    def end(number: int, frame: Any) -> None:
        raise Interrupted("terminated")

    with _handling((signal.SIGTERM,), end):
        yield


@contextlib.contextmanager
def deferred(tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Within, the first signal is noted, and told of; the second one ends the program at once.

    Args:
        tell: called at the first signal.

    Yields:
        Whether a signal has come.
    """
    came = False

    def note(number: int, frame: Any) -> None:
        nonlocal came
        if came:
            raise Interrupted("interrupted twice; the slices under way are lost")
        came = True
        tell()

    with _handling(_SIGNALS, note):
        yield lambda: came


@contextlib.contextmanager
def _handling(signals: tuple[signal.Signals, ...], handler: Callable[[int, Any], None]) -> Iterator[None]:
    # Python lets the main thread alone handle signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
