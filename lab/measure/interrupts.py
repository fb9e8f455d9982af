"""Handles Ctrl-C exactly once, so that the clean-up is not interrupted.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread, but not before a
stop of arms in progress is complete. Further signals only print a message: another exception in the
middle of a clean-up would leave servers running.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The process has one instance, `interrupts`."""

    def __init__(self) -> None:
        self._held = 0
        self._asked = self._raised = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals as described above, even those that a shell ignores after `&`."""
        self._asked = self._raised = False
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Postpone an interrupt to the end of the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._asked and not self._raised and not self._held:
                self._interrupt()

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._asked or self._held:
            # print() fails if the terminal is gone (SIGHUP) or if the signal interrupts another
            # print. An exception here would interrupt the clean-up.
            with suppress(OSError, RuntimeError):
                print("\n  stopping the servers; this takes a few seconds", flush=True)
        asked, self._asked = self._asked, True
        if not asked and not self._held:
            self._interrupt()

    def _interrupt(self) -> None:
        self._raised = True
        raise KeyboardInterrupt


interrupts = Interrupts()
