"""Whether Redis answers, decided within a tenth of a second and at most once a second.

Load balancers probe often and from several hosts, and treat a slow answer as a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

MAX_AGE_SECONDS = 1


class Readiness:
    """Calls *ping* and caches for *max_age* seconds whether it returned within *timeout* seconds.

    The call runs in a thread of its own because parts of it cannot be given a timeout: resolving
    Redis's host name (getaddrinfo) blocks for seconds when the DNS server is down.
    """

    def __init__(
        self, ping: Callable[[], object], *, timeout: float = 0.1, max_age: float = MAX_AGE_SECONDS
    ) -> None:
        self._ping = ping
        self._timeout = timeout
        self._max_age = max_age
        self._lock = threading.Lock()
        self._probe = threading.Thread()
        self._ready = False
        self._expires_at = 0.0

    def check(self) -> bool:
        with self._lock:  # concurrent callers share one ping
            if time.monotonic() >= self._expires_at:
                self._ready = self._run_probe()
                self._expires_at = time.monotonic() + self._max_age
            return self._ready

    def _run_probe(self) -> bool:
        if self._probe.is_alive():
            return False  # the previous ping still hangs; another thread would hang as well
        answered = threading.Event()
        self._probe = threading.Thread(target=self._call_ping, args=(answered,), daemon=True)
        self._probe.start()
        self._probe.join(self._timeout)
        return answered.is_set()

    def _call_ping(self, answered: threading.Event) -> None:
        with suppress(Exception):  # every error means the same: not ready
            self._ping()
            answered.set()
