"""Keeps Ctrl-C and SIGTERM away from a step that has to be finished once it has begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from stack.progress import Progress


@contextmanager
def undisturbed(progress: Progress, what: str) -> Iterator[list[int]]:
    """Answer signals with the sentence *what* until the block ends, and collect them."""
    received: list[int] = []

    def answer(number: int, _: object) -> None:
        received.append(number)
        progress.step(what)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
