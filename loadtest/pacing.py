"""When a member may go to the login page.

nginx lets an address log in or register ``STACK_LOGIN_RATE`` times a minute, and all our members
come from one address: they have to share that allowance, or the test measures the limiter. A member
asks for a turn and gets the time of it, so that a crowd forms a queue and not a storm. And only one
at a time sends a password: the app hashes few at once and answers 503 to the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

DEFAULT_LOGIN_RATE = 30  # a minute; the default of STACK_LOGIN_RATE
# nginx allows ten at once beyond the rate. Two are left for the person who looks at the stack.
BURST = 8
# Where the stack sets no limit: each login costs an argon2 hash, and this many take about a core.
UNLIMITED_RATE = 300


class LoginGate:
    """A token bucket that hands out times instead of refusals."""

    def __init__(
        self, per_minute: float, burst: int = BURST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.door = threading.Lock()  # Locust has made locks cooperative before this runs
        self._interval = 60 / per_minute
        self._clock = clock
        self._lead = (burst - 1) * self._interval
        self._next = clock()

    def reserve(self) -> float:
        """Take the next turn; return the clock's time from which it may be used."""
        now = self._clock()
        self._next = max(self._next, now)
        turn = max(now, self._next - self._lead)
        self._next += self._interval
        return turn

    def queue(self) -> float:
        """Seconds that the next one to reserve would have to wait."""
        return max(0.0, self._next - self._lead - self._clock())


def login_gate(environ: Mapping[str, str]) -> LoginGate:
    """The gate that suits the stack's limit, a tenth below it: its clock and ours differ."""
    try:
        rate = int(environ.get("STACK_LOGIN_RATE", DEFAULT_LOGIN_RATE))
    except ValueError:
        rate = DEFAULT_LOGIN_RATE
    return LoginGate(0.9 * rate if rate else UNLIMITED_RATE)
