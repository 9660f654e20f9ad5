"""Progress of a reconstruction: a bar on a terminal, an occasional line elsewhere."""

import sys
import threading
import time
from typing import TextIO

from tqdm import tqdm

_SECONDS = 15.0
"""At least this long between two plain lines."""


class Progress:
    """Evaluations done and in total, loss and time left; called from the running computation, from any thread.

    Args:
        total: evaluations planned.
        quiet: show nothing.
        stream: where to.
        seconds: least time between two plain lines.
    """

    def __init__(self, total: int, quiet: bool = False, stream: TextIO | None = None, seconds: float = _SECONDS):
        self._stream = sys.stderr if stream is None else stream
        self._total, self._quiet, self._seconds = total, quiet, seconds
        self._lock = threading.Lock()
        self._done, self._bar = 0, None
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> "Progress":
        self._begun = self._told = time.monotonic()
        if not self._quiet and self._stream.isatty():
            self._bar = tqdm(
                total=self._total, file=self._stream, unit="eval", desc="reconstructing", dynamic_ncols=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
            self._quiet = True  # a late call says nothing more

    def __call__(self, evaluations: int, loss: float) -> None:
        """So many more evaluations are done, the last with this loss."""
        with self._lock:
            self._done += int(evaluations)
            if self._bar is not None:
                self._bar.set_postfix_str(f"loss {float(loss):.4g}", refresh=False)
                self._bar.update(int(evaluations))
                return
            now = time.monotonic()
            if self._quiet or now - self._told < self._seconds:
                return
            self._told = now
            left = (now - self._begun) * max(self._total - self._done, 0) / max(self._done, 1)
            print(
                f"rnst: {self._done}/{self._total} evaluations, loss {float(loss):.4g}, about {left:.0f} s left",
                file=self._stream,
                flush=True,
            )
