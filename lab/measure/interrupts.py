"""Ctrl-C, exactly once: what runs is stopped, and nothing stops the stopping.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread; where arms are just
being stopped, after that. Those who press it again are told that it is under way: another exception
in the middle of a clean-up would leave servers running.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """One for the process: `interrupts`."""

    def __init__(self) -> None:
        self._held = 0
        self._asked = self._raised = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Within, signals are taken as described above, even those that a shell's `&` ignores."""
        self._asked = self._raised = False
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, nothing is interrupted; what was asked for meanwhile happens at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._asked and not self._raised and not self._held:
                self._interrupt()

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._asked or self._held:
            # Not said where the terminal is gone (SIGHUP), or where this very line breaks into
            # another print: an exception here would be one in the middle of a clean-up.
            with suppress(OSError, RuntimeError):
                print("\n  stopping what runs; this takes a few seconds", flush=True)
        asked, self._asked = self._asked, True
        if not asked and not self._held:
            self._interrupt()

    def _interrupt(self) -> None:
        self._raised = True
        raise KeyboardInterrupt


interrupts = Interrupts()
