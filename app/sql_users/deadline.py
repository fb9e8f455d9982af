"""A deadline for all that a thread does with a database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Thread(threading.local):
    deadline: float | None = None  # by time.monotonic()


_thread = _Thread()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let this thread wait for a database for so long in all."""
    _thread.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _thread.deadline = None


def left() -> float | None:
    """Return the seconds to the deadline, at least 0; None without one."""
    return None if _thread.deadline is None else max(_thread.deadline - time.monotonic(), 0)
