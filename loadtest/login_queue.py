"""When a member may log in.

nginx lets one address log in or register ``STACK_LOGIN_RATE`` times a minute, and all members come
from one address. They must share that allowance, or the run measures the limiter. A member reserves
a login and gets the time of it, so that a crowd forms a queue. Only one member at a time sends a
password: the app hashes few at once and answers 503 to the others.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

DEFAULT_LOGIN_RATE = "30"  # a minute; the default of STACK_LOGIN_RATE
# nginx allows ten at once beyond the rate. Two are left to the person who looks at the stack.
BURST = 8
# Logins a minute where the stack sets no limit: their argon2 hashes take about a core.
UNLIMITED_RATE = 300


class LoginQueue:
    """A token bucket that hands out times instead of refusing."""

    def __init__(
        self,
        per_minute: float,
        burst: int = BURST,
        clock: Callable[[], float] = time.monotonic,
        shared: str | None = None,
    ) -> None:
        # Locust has patched the interpreter before this runs, so the lock blocks one user only.
        self._lock = threading.Lock()
        self._shared = shared
        self._interval = 60 / per_minute
        self._clock = clock
        self._lead = (burst - 1) * self._interval
        self._next = clock()

    def reserve(self) -> float:
        """Reserve the next login; return the clock's time from which it is allowed."""
        allowed_from = self._clock() + self.wait_seconds()
        self._next = max(self._next, self._clock()) + self._interval
        return allowed_from

    def wait_seconds(self) -> float:
        """How long the next login would have to wait."""
        return max(0.0, self._next - self._lead - self._clock())

    @contextmanager
    def one_password(self) -> Iterator[None]:
        """Wait until nobody else sends a password: here, or in a worker with the same folder."""
        with self._lock:
            if self._shared is None:
                yield
                return
            folder = os.open(self._shared, os.O_RDONLY)  # a worker that is killed unlocks it
            try:
                while not _locked(folder):
                    time.sleep(0.01)
                yield
            finally:
                os.close(folder)


def _locked(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def login_queue(environ: Mapping[str, str]) -> LoginQueue:
    """A queue a tenth below the stack's limit, because nginx's clock and ours differ.

    Each of LOADTEST_WORKERS has its share of the limit, and sends passwords in turn with the others
    that name the same folder as LOADTEST_LOCK.
    """
    rate = int(environ.get("STACK_LOGIN_RATE", DEFAULT_LOGIN_RATE))
    workers = int(environ.get("LOADTEST_WORKERS") or 1)
    per_minute = (0.9 * rate if rate else UNLIMITED_RATE) / workers
    return LoginQueue(
        per_minute, max(1, BURST // workers), shared=environ.get("LOADTEST_LOCK") or None
    )
