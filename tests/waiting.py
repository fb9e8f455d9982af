"""The loops that wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 60) -> T:
    """Return what *condition* returns as soon as it is true. Fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return answer


def wait_until_steady(read: Callable[[], T], seconds: float = 0.5, patience: float = 60) -> T:
    """Return what *read* returns twice, *seconds* apart. Fail after *patience* seconds."""
    deadline = time.monotonic() + patience
    before = read()
    while True:
        time.sleep(seconds)
        if (now := read()) == before:
            return now
        assert time.monotonic() < deadline, f"not steady within {patience} s: {before}, {now}"
        before = now
