"""Reports the steps of a long command, to a terminal or to a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Prints one line per step, and details of a long step while it runs.

    A terminal shows the current detail on one line that changes. A log gets one every few seconds,
    so that a minute of compiling is neither silent nor a thousand lines. Without a stream (use as a
    library) nothing is printed.
    """

    EVERY_S = 5.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._detailed = False
        self._last = 0.0

    @classmethod
    def to_terminal(cls) -> Progress:
        return cls(sys.stdout)

    def step(self, text: str) -> None:
        """Begin a step."""
        self._last = time.monotonic()
        self.clear()
        self._write(f"  {text}\n")

    def detail(self, text: str) -> None:
        """Show what the current step does at the moment."""
        if self._stream is not None and self._stream.isatty():
            self._write(f"\r\x1b[K    {text[:100]}")
            self._detailed = True
        elif time.monotonic() - self._last >= self.EVERY_S:
            self._last = time.monotonic()
            self._write(f"    {text[:100]}\n")

    def clear(self) -> None:
        """Erase the detail on a terminal, before something else writes."""
        if self._detailed:
            self._write("\r\x1b[K")
            self._detailed = False

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
