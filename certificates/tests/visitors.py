"""Visitors over HTTPS who come while a certificate is replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.nginx import ask, request


@dataclass
class Visits:
    """How many requests have ended, and the statuses of those that failed (0: no answer)."""

    done: int = 0
    failed: list[int] = field(default_factory=list)


@contextmanager
def visiting(port: int, host: str) -> Iterator[Visits]:
    """Let two visitors ask again and again, each time on a new connection."""
    visits, ended = Visits(), threading.Event()

    def visit() -> None:
        while not ended.is_set():
            try:
                status = ask(port, request("GET", "/readyz", host=host), tls=True).status
            except OSError:
                status = 0
            if status != 200:
                visits.failed.append(status)
            visits.done += 1
            time.sleep(0.05)

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    try:
        yield visits
    finally:
        ended.set()
        for visitor in visitors:
            visitor.join()
