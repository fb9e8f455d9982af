"""The circuit breaker: while Redis is away, requests fail at once instead of queueing for it.

Without it, a stalled Redis holds every worker thread for its whole budget, and pages that need no
session find no free worker either.

It needs no thread of its own: requests carry the probe. The first one behind the open circuit
sends a PING on a socket of its own and waits 10 ms; later ones only look whether the answer has
come. So nobody waits for a stalled Redis, and the request after its return goes through.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time

import hiredis

from .address import Address, Resolver
from .connection import pack
from .errors import ReplyError

log = logging.getLogger(__name__)

PROBE_WAIT = 0.010
PROBE_LIFETIME = 1.0
# How soon after a refused probe the next one goes out.
PROBE_PAUSE = 0.025


class Circuit:
    """One for each process and client. `open` is read on every request; it is a plain attribute."""

    def __init__(self, address: Address, resolver: Resolver) -> None:
        self.open = False
        self._address = address
        self._resolver = resolver
        self._lock = threading.Lock()
        self._probe: _Probe | None = None
        self._next_probe = 0.0
        self._opened = 0.0

    def trip(self, reason: str) -> None:
        """A command used up its whole budget."""
        if not self.open:
            self._opened = time.monotonic()
            self.open = True
            log.warning("redis %s: %s; failing fast until it answers", self._address, reason)

    def closes(self) -> bool:
        """Whether Redis is back. Never takes longer than about `PROBE_WAIT`."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return not self.open or self._ask()
        finally:
            self._lock.release()

    def _ask(self) -> bool:
        now = time.monotonic()
        wait = 0.0
        if self._probe is None or now - self._probe.sent > PROBE_LIFETIME:
            if now < self._next_probe:
                return False
            self._next_probe = now + PROBE_PAUSE
            self._drop_probe()
            wait = PROBE_WAIT
        try:
            if self._probe is None:
                self._probe = _Probe(self._address, self._resolver)
            if not self._probe.answered(wait):
                return False
        except (OSError, hiredis.ProtocolError, ReplyError):
            self._drop_probe()
            return False
        self._drop_probe()
        self.open = False
        log.warning("redis %s: back after %.1f s", self._address, now - self._opened)
        return True

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None


class _Probe:
    """Log in and PING on a non-blocking socket."""

    def __init__(self, address: Address, resolver: Resolver) -> None:
        commands = [*address.greeting(), ("PING",)]
        self.sent = time.monotonic()
        self._payload = pack(commands)
        self._missing = len(commands)
        self._reader = hiredis.Reader(replyError=ReplyError)
        family, where = resolver.addresses(PROBE_WAIT / 2)[0]
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.connect_ex(where)

    def answered(self, wait: float) -> bool:
        """Whether Redis has answered every command, after at most `wait` seconds."""
        deadline = time.monotonic() + wait
        while self._missing:
            poller = select.poll()
            poller.register(self._socket, select.POLLOUT if self._payload else select.POLLIN)
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return False
            if self._payload:
                self._payload = self._payload[self._socket.send(self._payload) :]
                continue
            chunk = self._socket.recv(4096)
            if not chunk:
                raise ConnectionResetError("Redis closed the connection")
            self._reader.feed(chunk)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, ReplyError):
                    raise reply
                self._missing -= 1
        return True

    def close(self) -> None:
        self._socket.close()
