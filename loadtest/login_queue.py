"""When a member may log in.

nginx lets one address log in or register ``STACK_LOGIN_RATE`` times a minute, and all members come
from one address. They must share that allowance, or the run measures the limiter. A member reserves
a login and gets the time of it, so that a crowd forms a queue. Only one member at a time sends a
password: the app hashes few at once and answers 503 to the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

DEFAULT_LOGIN_RATE = "30"  # a minute; the default of STACK_LOGIN_RATE
# nginx allows ten at once beyond the rate. Two are left to the person who looks at the stack.
BURST = 8
# Logins a minute where the stack sets no limit: their argon2 hashes take about a core.
UNLIMITED_RATE = 300


class LoginQueue:
    """A token bucket that hands out times instead of refusing."""

    def __init__(
        self, per_minute: float, burst: int = BURST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Locust has patched the interpreter before this runs, so the lock blocks one user only.
        self.password_lock = threading.Lock()
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


def login_queue(environ: Mapping[str, str]) -> LoginQueue:
    """A queue a tenth below the stack's limit, because nginx's clock and ours differ."""
    rate = int(environ.get("STACK_LOGIN_RATE", DEFAULT_LOGIN_RATE))
    return LoginQueue(0.9 * rate if rate else UNLIMITED_RATE)
