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
        self._terminal = stream is not None and stream.isatty()
        self._dirty = False
        self._last = 0.0

    @classmethod
    def to_terminal(cls) -> Progress:
        return cls(sys.stdout)

    def step(self, text: str) -> None:
        """Begin a step."""
        self._last = time.monotonic()
        self._write(f"  {text}\n")

    def detail(self, text: str) -> None:
        """Show what the current step does at the moment."""
        now = time.monotonic()
        if self._terminal:
            self._write(f"    {text[:100]}", partial=True)
        elif now - self._last >= self.EVERY_S:
            self._last = now
            self._write(f"    {text}\n")

    def clear(self) -> None:
        """Erase the detail on a terminal, before something else writes."""
        if self._dirty:
            self._write("")

    def _write(self, text: str, *, partial: bool = False) -> None:
        if self._stream is None:
            return
        if self._dirty:
            text = "\r\x1b[K" + text
        self._dirty = partial
        self._stream.write(text)
        self._stream.flush()
