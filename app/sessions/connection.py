"""One socket to Redis: send packed commands, read their answers, nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

import hiredis

from .address import Address, SocketAddress
from .errors import ReplyError

Argument = str | bytes | int | float
Command = Sequence[Argument]

# A socket's timeout is set anew only when it is this far off: setting it is a system call.
TIMEOUT_STEP = 0.05


def pack(commands: Sequence[Command]) -> bytes:
    """The bytes of some commands in the Redis protocol."""
    return b"".join([hiredis.pack_command(tuple(command)) for command in commands])  # type: ignore[arg-type]


class Connection:
    """A logged-in connection. After any exception from `ask` it is out of step: close it."""

    def __init__(
        self, address: Address, addresses: Sequence[SocketAddress], deadline: float
    ) -> None:
        """Connect and log in before `deadline` (monotonic). Raises OSError or ReplyError."""
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._socket = _connect(addresses, deadline)
        self._timeout = 0.0
        try:
            greeting = address.greeting()
            if greeting:
                for reply in self.ask(pack(greeting), len(greeting), deadline):
                    if isinstance(reply, ReplyError):
                        raise reply
        except BaseException:
            self.close()
            raise

    def ask(self, packed: bytes, count: int, deadline: float) -> list[Any]:
        """Send `packed` and read `count` replies; errors among them are returned, not raised.

        Raises TimeoutError at the deadline, or a `TIMEOUT_STEP` later; ConnectionError when the
        peer is gone.
        """
        self._wait_until(deadline)
        self._socket.sendall(packed)
        reader = self._reader
        replies: list[Any] = []
        while True:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionResetError("Redis closed the connection")
            reader.feed(chunk)
            while len(replies) < count:
                reply = reader.gets()
                if reply is False:
                    break
                replies.append(reply)
            else:
                break
            # A long answer comes in pieces, and each would start the timeout anew.
            self._wait_until(deadline)
        if reader.has_data():
            # The next request would read somebody else's answer.
            raise ConnectionResetError("Redis sent more than was asked for")
        return replies

    def _wait_until(self, deadline: float) -> None:
        wait = deadline - time.monotonic()
        if wait <= 0:
            raise TimeoutError("the time for Redis is used up")
        if not -TIMEOUT_STEP < self._timeout - wait < TIMEOUT_STEP:
            self._socket.settimeout(wait)
            self._timeout = wait

    def close(self) -> None:
        self._socket.close()


def _connect(addresses: Sequence[SocketAddress], deadline: float) -> socket.socket:
    for left, (family, where) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        candidate = socket.socket(family, socket.SOCK_STREAM)
        try:
            candidate.settimeout(max(0.001, (deadline - time.monotonic()) / left))
            candidate.connect(where)
            if family != socket.AF_UNIX:
                candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except BaseException as error:
            candidate.close()
            if left > 1 and isinstance(error, OSError):
                continue
            raise
        return candidate
    raise ConnectionError("the server has no address")
