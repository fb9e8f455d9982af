"""The Redis client of the whole app: one held connection a thread, one time budget a request.

    redis = connect("redis://app@redis:6379/0", password)
    redis.execute("HGET", "post:1", "title")                     # b"…" or None
    redis.pipeline([("HGETALL", "post:1"), ("ZCARD", "posts")])  # one round trip
    bump = redis.script("return redis.call('INCR', KEYS[1])")
    redis.execute(*bump(["post:last"]))

Replies are what Redis sends: bytes, int, None or lists of them.

Within a Flask request all waiting for Redis comes from one budget, which ends with it. Anywhere
else (command line, background threads) each call has a budget of its own, which looking up a name
can exceed, and a failure does not open the circuit breaker of the requests.

Fork-safe: a process never uses a connection that it did not open. Thread-safe: threads share only
the circuit breaker. A connection that is left in the middle of a reply, by any exception, is closed
and never used again, so no request can read the reply of another.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from ssl import SSLError
from typing import Any, Protocol

import hiredis
from flask import has_request_context, request
from redis import ConnectionPool

from .circuit import PROBE_LIFETIME, Circuit
from .connection import Argument, Command, Connection, in_thread, pack
from .errors import ReplyError, StoreUnavailable
from .pool import FIXED, pool_from_url

log = logging.getLogger(__name__)

# Makes a command of a script: `script(keys, arguments)`.
Script = Callable[..., Command]

# Seconds. A request must have its 503 within one second; the rest is for making the page.
BUDGET = 0.8

# Error codes of a server that will serve soon: the command is sent again while there is time.
SOON = frozenset({"LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN"})
# Error codes of a server that will not serve within this request.
UNAVAILABLE = frozenset(
    {"OOM", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM"}
    | {"MOVED", "ASK"}
)


class Client(Protocol):
    """What the app needs of a Redis client. `create_app(redis=…)` takes any."""

    def execute(self, *command: Argument, retry: bool = True) -> Any: ...

    def pipeline(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any]: ...

    def script(self, lua: str) -> Script: ...

    def end_request(self) -> None: ...


def connect(url: str, password: str | None = None, *, budget: float = BUDGET) -> RedisClient:
    """Make the client for `url` (see `pool_from_url`). It connects at the first command.

    `budget`: the seconds that one request may wait for Redis in all, retries included. Raises
    ValueError, without the URL in its text, for one that cannot be used.
    """
    return RedisClient(pool_from_url(url, password), budget=budget)


class _Thread(threading.local):
    connection: Connection | None = None


class _Process:
    """State that must not cross a fork."""

    def __init__(self, client: RedisClient) -> None:
        self.pid = os.getpid()
        self.thread = _Thread()
        self.circuit = Circuit(f"redis {client.name}", client.open_and_ping)
        # When any thread had its last replies, by time.monotonic().
        self.answered = 0.0


class RedisClient:
    """See the module's docstring. `connect` makes a client for a URL.

    For Sentinel or a credential provider, pass a pool of redis-py, which only makes connections:
    `Sentinel([("sentinel", 26379)]).master_for("main").connection_pool`. Its retries and timeouts
    are replaced, so do not share it with a `redis.Redis`.
    """

    def __init__(self, pool: ConnectionPool, *, budget: float = BUDGET) -> None:
        options = pool.connection_kwargs
        options.update(FIXED)
        # make_connection() counts every connection ever made, closed ones too.
        pool.max_connections = sys.maxsize
        address = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        # For logs: a Sentinel service, the path of a socket, or host and port.
        self.name = str(getattr(pool, "service_name", options.get("path") or address))
        self.budget = budget
        self._pool = pool
        # The texts of scripts by their SHA-1, which is their name in Redis.
        self._scripts: dict[str, str] = {}
        # The key in the WSGI environ of a request: the seconds that are left to it, None for a
        # request that has ended.
        self._budget_key = f"redis_client.budget.{id(self)}"
        self._process = _Process(self)

    def __repr__(self) -> str:
        return f"<RedisClient {self.name}>"

    def execute(self, *command: Argument, retry: bool = True) -> Any:
        """Send one command and return its reply.

        `retry=False` is for a command that must not run twice: it is not sent again when the
        connection breaks while Redis may have run it. Raises StoreUnavailable within the budget,
        ReplyError when the command itself is wrong.
        """
        return self.pipeline((command,), retry=retry)[0]

    def pipeline(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any]:
        """Send commands in one round trip and return their replies. It is not a transaction.

        Raises as `execute` does, after all were answered. A script that Redis does not have is sent
        again in full, after the other commands: where the order matters, use two round trips. With
        `retry=False` none is sent again after one of them may have run.
        """
        replies = self._round_trip(pack(commands), len(commands), retry)
        for index, reply in enumerate(replies):
            if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT":
                _, sha, *rest = commands[index]
                whole = ("EVAL", self._scripts[str(sha)], *rest)
                (replies[index],) = self._round_trip(pack([whole]), 1, retry)
        for reply in replies:
            if isinstance(reply, ReplyError):
                if reply.code not in UNAVAILABLE:
                    raise reply
                log.error("redis refuses: %s", reply)
                raise StoreUnavailable(f"redis refuses: {reply}")
        return replies

    def script(self, lua: str) -> Script:
        """Make commands of a Lua script: `script(keys, arguments)` is for `execute`/`pipeline`.

        Redis runs it by its hash; the text is sent only when Redis does not have it.
        """
        sha = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()
        self._scripts[sha] = lua

        def command(keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> Command:
            return ("EVALSHA", sha, len(keys), *keys, *arguments)

        return command

    def end_request(self) -> None:
        """End the budget of the current request: a stream has one for each call."""
        environ = _environ()
        if environ is not None:
            environ[self._budget_key] = None

    def close(self) -> None:
        """Close this thread's connection."""
        thread = self._current_process().thread
        connection, thread.connection = thread.connection, None
        if connection is not None:
            connection.close()

    def open_and_ping(self) -> Connection:
        """Open a connection and have a PING answered. Raises what went wrong."""
        connection = Connection(self._pool, PROBE_LIFETIME)
        (pong,) = connection.ask(pack([("PING",)]), 1, time.monotonic() + PROBE_LIFETIME)
        if isinstance(pong, ReplyError):
            connection.close()
            raise pong
        return connection

    def _current_process(self) -> _Process:
        process = self._process
        if process.pid != os.getpid():
            # A forked worker: the parent's connections are dropped here, not shut down.
            process = self._process = _Process(self)
        return process

    def _round_trip(self, packed: bytes, count: int, retry: bool) -> list[Any]:
        process = self._current_process()
        circuit = process.circuit
        if circuit.open and not circuit.closes():
            raise StoreUnavailable(f"redis {self.name} does not answer: failing fast")
        environ = _environ()
        rest = None if environ is None else environ.get(self._budget_key, self.budget)
        left = self.budget if rest is None else rest
        if left <= 0:
            raise self._used_up()
        start = time.monotonic()
        try:
            replies = self._ask(process, packed, count, start + left, retry)
        except (OSError, hiredis.ProtocolError, ReplyError) as error:
            # Too little time was left to conclude that Redis does not answer.
            if isinstance(error, TimeoutError) and left < self.budget / 2:
                raise self._used_up() from error
            soon = isinstance(error, ReplyError)
            reason = str(error) if soon else f"{type(error).__name__}: {error}"
            # Only a request opens the circuit, and only when no other thread has had a reply
            # meanwhile: else the fault is in this one connection, or in a name server.
            if rest is not None and process.answered < start:
                circuit.trip(reason)
            raise StoreUnavailable(f"redis {self.name}: {reason}") from error
        finally:
            now = time.monotonic()
            if environ is not None and rest is not None:
                environ[self._budget_key] = left - (now - start)
        process.answered = now
        return replies

    def _used_up(self) -> StoreUnavailable:
        return StoreUnavailable(f"redis {self.name}: the request has used its {self.budget} s")

    def _ask(
        self, process: _Process, packed: bytes, count: int, deadline: float, retry: bool
    ) -> list[Any]:
        """Send until there are replies or the deadline has come. A timeout is not retried."""
        thread = process.thread
        pause = 0.005
        while True:
            connection, thread.connection = thread.connection, None
            held = connection is not None
            sent = False
            try:
                if connection is None:
                    connection = self._open(deadline)
                sent = True
                replies = connection.ask(packed, count, deadline)
                for reply in replies:
                    # After a failover the server's name can lead to another one.
                    if isinstance(reply, ReplyError) and (
                        reply.code in SOON or (reply.code == "READONLY" and held)
                    ):
                        raise reply
            except BaseException as error:
                if connection is not None:
                    connection.close()
                # A single command has not run when its answer is such an error.
                may_have_run = sent and (count > 1 or not isinstance(error, ReplyError))
                if not _can_retry(error, held=held, harmless=retry or not may_have_run):
                    raise
                if not held:
                    if time.monotonic() + pause >= deadline:
                        raise
                    time.sleep(pause)
                    pause = min(pause * 2, 0.1)
            else:
                thread.connection = connection
                return replies

    def _open(self, deadline: float) -> Connection:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time limit for Redis is reached")
        # A step that times out should say so itself, before the deadline of the whole.
        step = left * 0.9
        try:
            if not has_request_context():
                # While the app loads, a thread that outlives this call would not survive the fork.
                return Connection(self._pool, step)
            connecting = in_thread(lambda: Connection(self._pool, step))
            if not wait([connecting], left).done:
                raise TimeoutError(f"no connection within {left:.1f} s")
            return connecting.result()
        except ReplyError as error:
            if error.code in SOON:
                raise
            log.error("redis %s refuses the login: %s", self.name, error)
            raise StoreUnavailable(f"redis {self.name} refuses the login: {error}") from None


def _environ() -> dict[str, Any] | None:
    """The WSGI environ of the current request. Through the proxy it takes 1 µs more."""
    if not has_request_context():
        return None
    return request._get_current_object().environ  # type: ignore[attr-defined, no-any-return]


def _can_retry(error: BaseException, *, held: bool, harmless: bool) -> bool:
    if isinstance(error, TimeoutError) or not harmless:
        return False
    if isinstance(error, ReplyError):
        return error.code in SOON or error.code == "READONLY"
    if isinstance(error, SSLError) and not held:
        return False  # it is about certificates, so it would fail again
    return isinstance(error, OSError | hiredis.ProtocolError)
