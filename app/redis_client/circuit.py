"""The circuit breaker: while Redis does not answer, requests fail at once instead of waiting.

Without it a stalled Redis holds every worker thread for the whole time limit of a request, and
pages that need no session find no free worker. Requests drive the probe: the first one at an open
circuit starts a connection attempt with a PING and waits 10 ms for it, later ones only look at it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Protocol

from .connection import in_thread

log = logging.getLogger(__name__)

PROBE_WAIT = 0.010
# The time after which a probe without a result is joined by another one. A lookup that began while
# the name server was away can take many seconds; a new one is answered at once.
PROBE_LIFETIME = 1.0
MAX_PROBES = 4
# The pause after a probe that was refused.
PROBE_PAUSE = 0.025


class Closable(Protocol):
    def close(self) -> None: ...


class Circuit:
    """One for each process and client. Each command reads `open`, a plain attribute."""

    def __init__(self, name: str, connect: Callable[[], Closable]) -> None:
        """`name` is for the log. `connect` must return a connection that has had an answer."""
        self.open = False
        self._name = name
        self._connect = connect
        self._lock = threading.Lock()
        self._probes: list[Future[Closable]] = []
        self._started = self._opened = 0.0

    def trip(self, reason: str) -> None:
        """Open the circuit: a request has used up its time limit."""
        if not self.open:
            self._opened = time.monotonic()
            self.open = True
            log.warning("%s: %s; failing fast until it answers", self._name, reason)

    def closes(self) -> bool:
        """Whether Redis answers again. Takes at most about `PROBE_WAIT`."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return not self.open or self._probe()
        finally:
            self._lock.release()

    def _probe(self) -> bool:
        now = time.monotonic()
        pause = PROBE_LIFETIME if self._probes else PROBE_PAUSE
        if now - self._started > pause and len(self._probes) < MAX_PROBES:
            self._started = now
            try:
                self._probes.append(in_thread(self._connect))
            except ConnectionError:
                return False
            wait(self._probes[-1:], PROBE_WAIT)
        for probe in [probe for probe in self._probes if probe.done()]:
            self._probes.remove(probe)
            try:
                probe.result().close()
            except Exception as error:
                log.debug("%s: probe: %s", self._name, error)
                continue
            self._probes.clear()
            self.open = False
            log.warning("%s: answers again after %.1f s", self._name, now - self._opened)
            return True
        return False
