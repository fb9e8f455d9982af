"""One connection to Redis: redis-py opens it and logs in, hiredis reads the replies.

redis-py brings TLS, unix sockets, ACL users, credential providers and Sentinel. Its
`read_response()` is not used: it starts its timeout anew for each piece of a long reply and does
not see a surplus reply. The exchange below does both, and costs 12 µs of CPU a GET where redis-py's
costs 16 (medians of one run, unix socket).
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import hiredis
from redis import ConnectionPool
from redis import exceptions as redis_py

from .errors import ReplyError

T = TypeVar("T")
Argument = str | bytes | int | float
Command = Sequence[Argument]

# Setting a socket's timeout is a system call, so it is skipped for a smaller difference (seconds).
TIMEOUT_STEP = 0.05


def pack(commands: Sequence[Command]) -> bytes:
    """The bytes of some commands in the Redis protocol."""
    packed = [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]
    return packed[0] if len(packed) == 1 else b"".join(packed)


class Connection:
    """A connection that is logged in. After any exception from `ask` it must be closed."""

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        """Connect and log in. `timeout`, in seconds, is for each step of it, not for the whole.

        Raises OSError, or ReplyError where Redis refuses the login.
        """
        # Any: redis-py declares neither the timeouts nor the socket.
        self._connection = cast(Any, pool.make_connection())
        # A name often has an IPv6 and an IPv4 address; the second gets its turn too.
        self._connection.socket_connect_timeout = timeout / 2
        self._connection.socket_timeout = timeout
        try:
            self._connection.connect()
        except redis_py.TimeoutError as error:
            raise TimeoutError(str(error)) from None
        except (
            redis_py.AuthenticationError,
            redis_py.BusyLoadingError,
            redis_py.ResponseError,
        ) as error:
            raise ReplyError(f"{error.status_code or 'ERR'} {error}") from None
        except Exception as error:  # a credential provider can raise anything
            if isinstance(error.__context__, ssl.SSLEOFError):
                raise ssl.SSLError(
                    "the server ended the TLS handshake: a client certificate is required, or the "
                    "server is ending"
                ) from None
            if isinstance(error.__context__, ssl.SSLError):
                raise error.__context__ from None
            raise ConnectionError(str(error)) from None
        self._socket = self._connection._sock
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._timeout = timeout

    def ask(self, packed: bytes, count: int, deadline: float) -> list[Any]:
        """Send `packed` and read `count` replies. Error replies are returned, not raised.

        `deadline` is a time of `time.monotonic()`. Raises TimeoutError at the deadline or up to
        `TIMEOUT_STEP` later, and ConnectionError when the peer has closed the connection.
        """
        self._limit(deadline)
        receive = self._socket.recv
        self._socket.sendall(packed)
        reader = self._reader
        replies: list[Any] = []
        while True:
            chunk = receive(65536)
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
            # A long reply comes in pieces, and each would start the timeout anew.
            self._limit(deadline)
        if reader.has_data():
            # The next request would read this as its own reply.
            raise ConnectionResetError("Redis sent more replies than there were commands")
        return replies

    def _limit(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time limit for Redis is reached")
        if not -TIMEOUT_STEP < self._timeout - left < TIMEOUT_STEP:
            self._socket.settimeout(left)
            self._timeout = left

    def close(self) -> None:
        """Close the socket. In a forked child, redis-py does not shut the parent's down."""
        self._connection.disconnect()


def in_thread(connect: Callable[[], T]) -> Future[T]:
    """Connect in a daemon thread. A connection that nobody waits for any more is closed.

    Name resolution, a TLS handshake, a query to Sentinel and a credential provider take no
    deadline: `getaddrinfo` alone waits 5 s a try for a name server that does not answer. Waiting
    for a thread takes one.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(connect())
        except Exception as error:
            # The traceback would refer back to the future.
            future.set_exception(error.with_traceback(None))

    try:
        threading.Thread(target=run, name="connect", daemon=True).start()
    except RuntimeError as error:  # the process or its container has no thread left
        raise ConnectionError(str(error)) from error
    return future
