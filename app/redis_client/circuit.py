"""The circuit breaker: while Redis does not answer, requests fail at once instead of waiting.

Without it a stalled Redis holds every worker thread for the whole time limit of a request, and
pages that need no session find no free worker.

Requests drive the probe: the first one at an open circuit starts a connection attempt with a PING
and waits 10 ms for it; later ones only check whether a probe has succeeded. No request waits longer
for a stalled Redis, and the first request after its return is served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .connection import Connecting, Connection

log = logging.getLogger(__name__)

PROBE_WAIT = 0.010
# The time after which a probe without a result is joined by another one. A lookup that began while
# the name server was away can take many seconds; a new one is answered at once.
PROBE_LIFETIME = 1.0
MAX_PROBES = 4
# The pause after a probe that was refused.
PROBE_PAUSE = 0.025


class Circuit:
    """One for each process and client. Each command reads `open`, a plain attribute."""

    def __init__(self, name: str, connect: Callable[[], Connection]) -> None:
        """`name` is for the log. `connect` must return a connection that has answered a PING."""
        self.open = False
        self._name = name
        self._connect = connect
        self._lock = threading.Lock()
        self._probes: list[Connecting] = []
        self._next_probe = 0.0
        self._opened = 0.0

    def trip(self, reason: str) -> None:
        """Open the circuit: a request has used up its time limit."""
        if not self.open:
            self._opened = time.monotonic()
            self.open = True
            log.warning("redis %s: %s; failing fast until it answers", self._name, reason)

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
        wait = 0.0
        overdue = not self._probes or now - self._probes[-1].started > PROBE_LIFETIME
        if overdue and now >= self._next_probe and len(self._probes) < MAX_PROBES:
            self._next_probe = now + PROBE_PAUSE
            try:
                self._probes.append(Connecting(self._connect))
            except ConnectionError:
                return False
            wait = PROBE_WAIT
        for probe in self._probes[::-1]:  # only a new one, which is first here, is waited for
            done, wait = probe.done(wait), 0.0
            if not done:
                continue
            self._probes.remove(probe)
            try:
                probe.result().close()
            except Exception as error:
                log.debug("redis %s: probe: %s", self._name, error)
                continue
            self._probes.clear()
            self.open = False
            log.warning("redis %s: answers again after %.1f s", self._name, now - self._opened)
            return True
        return False
