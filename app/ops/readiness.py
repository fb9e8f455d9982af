"""Whether Redis answers, decided within a tenth of a second and at most once a second.

A load balancer asks often and from several sides, and takes a slow answer for none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Readiness:
    """Calls *ping* and remembers for *fresh_for* seconds whether it came back in time.

    The call runs in a thread of its own, because not everything in it can be given a time limit:
    looking up Redis's host name cannot (getaddrinfo waits for seconds on a dead DNS server).
    """

    def __init__(
        self, ping: Callable[[], object], *, budget: float = 0.1, fresh_for: float = 1.0
    ) -> None:
        self._ping = ping
        self._budget = budget
        self._fresh_for = fresh_for
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._came_back = False
        self._ready = False
        self._stale_at = 0.0

    def check(self) -> bool:
        with self._lock:  # who asks meanwhile waits for the same answer instead of a second ping
            if time.monotonic() >= self._stale_at:
                self._ready = self._ask()
                self._stale_at = time.monotonic() + self._fresh_for
            return self._ready

    def _ask(self) -> bool:
        if self._asking is not None and self._asking.is_alive():
            return False  # the last one still hangs; more threads would only hang as well
        self._came_back = False
        self._asking = threading.Thread(target=self._try, name="readiness", daemon=True)
        self._asking.start()
        self._asking.join(self._budget)
        return self._came_back

    def _try(self) -> None:
        with suppress(Exception):  # whatever goes wrong means the same here: not ready
            self._ping()
            self._came_back = True
