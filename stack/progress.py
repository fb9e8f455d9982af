"""Says what is being done while it is being done, to a terminal or to a log alike."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Lines about steps, and within a long step what it is at.

    A terminal shows the detail on one line that changes; a log gets a line of it every few seconds,
    so that a minute of compiling is neither silent nor a thousand lines. Without a stream (as a
    library), nothing is said.
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
        """Say what the step is at."""
        now = time.monotonic()
        if self._terminal:
            self._write(f"    {text[:100]}", partial=True)
        elif now - self._last >= self.EVERY_S:
            self._last = now
            self._write(f"    {text}\n")

    def _write(self, text: str, *, partial: bool = False) -> None:
        if self._stream is None:
            return
        if self._dirty:
            text = "\r\x1b[K" + text
        self._dirty = partial
        self._stream.write(text)
        self._stream.flush()

    def clear(self) -> None:
        """Take a detail that is still shown away, before something else writes."""
        if self._dirty:
            self._write("")
