"""The client that the whole app shares: one held connection a thread, one time budget a request.

redis-py's pool costs 51 to 103 µs of CPU a command, mostly Python; a packed command on a held
connection costs 16. This module is what is left when pooling goes: it leaves TLS, Sentinel and
Cluster to redis-py (see `RedisPyClient`), and the meaning of commands to its callers.

    redis = connect("redis://app@redis:6379/0", password)
    redis.execute("HGET", "post:1", "title")                     # b"…" or None
    redis.pipeline([("HGETALL", "post:1"), ("ZCARD", "posts")])  # one round trip
    bump = redis.script("return redis.call('INCR', KEYS[1])")
    redis.execute(*bump(["post:last"]))

Replies are what Redis sends: bytes, int, None or lists of them.

Fork-safe: a process never uses a connection that it did not open. Thread-safe: threads share
nothing but the circuit breaker. A connection that was left in the middle of an answer, by whatever
exception, is closed and never used again, so that no request can read another one's answer.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import hiredis

from .address import Address, Resolver
from .circuit import Circuit
from .connection import Argument, Command, Connection, pack
from .errors import ReplyError, StoreUnavailable
from .lua import Script, Scripts

log = logging.getLogger(__name__)

# Below the second within which a request must have its 503, with room for the page itself.
BUDGET = 0.8

# Redis says "later" with these: ask again while there is time.
LATER = frozenset({"LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN"})
# And "not now, not me" with these: no use in waiting within a request.
REFUSED = frozenset(
    {"OOM", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM"}
    | {"MOVED", "ASK"}
)


class Client(Protocol):
    """What the sessions need of a Redis client."""

    def execute(self, *command: Argument, retry: bool = True) -> Any: ...

    def pipeline(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any]: ...

    def script(self, lua: str) -> Script: ...

    def begin_request(self) -> None: ...

    def end_request(self) -> None: ...


def connect(url: str, password: str | None = None, *, budget: float = BUDGET) -> RedisClient:
    """Make the client for `url` (see `Address.from_url`). It connects on first use, not here.

    `budget`: the seconds that one request may wait for Redis in all, connecting, retries and
    pauses included.
    """
    return RedisClient(Address.from_url(url, password), budget=budget)


@dataclass
class _Thread:
    connection: Connection | None = None
    # What is left of the budget of this thread's request; None outside of a request.
    left: float | None = None


class _Process:
    """What must not cross a fork."""

    def __init__(self, address: Address) -> None:
        self.pid = os.getpid()
        self.threads = threading.local()
        self.resolver = Resolver(address)
        self.circuit = Circuit(address, self.resolver)


@dataclass
class RedisClient:
    """See the module's docstring. Make it with `connect`."""

    address: Address
    budget: float = BUDGET
    _scripts: Scripts = field(default_factory=Scripts, init=False, repr=False)

    def __post_init__(self) -> None:
        self._process = _Process(self.address)

    def execute(self, *command: Argument, retry: bool = True) -> Any:
        """Send one command and return its reply.

        When the connection breaks after the command was sent, nobody knows whether Redis has run
        it; it is sent again unless `retry` is False. Use that where running twice would be wrong.

        Raises StoreUnavailable within the budget, ReplyError when the command itself is wrong.
        """
        return self.pipeline((command,), retry=retry)[0]

    def pipeline(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any]:
        """Send commands in one round trip and return their replies; not a transaction.

        Raises as `execute` does, after all commands have been answered. A script that Redis has
        forgotten is sent again in full, after the other commands.
        """
        replies = self._trip(pack(commands), len(commands), retry)
        for index, reply in enumerate(replies):
            if isinstance(reply, ReplyError):
                if reply.code != "NOSCRIPT":
                    raise _judged(reply)
                whole = self._scripts.in_full(commands[index])
                replies[index] = again = self._trip(pack([whole]), 1, retry)[0]
                if isinstance(again, ReplyError):
                    raise _judged(again)
        return replies

    def script(self, lua: str) -> Script:
        """Make commands of a Lua script: `script(keys, arguments)` is for `execute`/`pipeline`.

        Redis runs it by its hash, and is sent the text again when it has forgotten it.
        """
        return self._scripts.add(lua)

    def begin_request(self) -> None:
        """From here to `end_request` all waiting of this thread comes from one budget."""
        self._thread().left = self.budget

    def end_request(self) -> None:
        """Back to one budget for each call, as in a command-line program."""
        self._thread().left = None

    def close(self) -> None:
        """Close this thread's connection."""
        thread = self._thread()
        if thread.connection is not None:
            thread.connection.close()
            thread.connection = None

    def _thread(self) -> _Thread:
        process = self._process
        if process.pid != os.getpid():
            # A forked worker: the parent's socket is dropped here, not shut down.
            process = self._process = _Process(self.address)
        try:
            thread: _Thread = process.threads.state
        except AttributeError:
            thread = process.threads.state = _Thread()
        return thread

    def _trip(self, packed: bytes, count: int, retry: bool) -> list[Any]:
        thread = self._thread()
        circuit = self._process.circuit
        if circuit.open and not circuit.closes():
            raise StoreUnavailable(f"redis {self.address} does not answer: failing fast")
        left = self.budget if thread.left is None else thread.left
        start = time.monotonic()
        try:
            return self._try(thread, packed, count, start + left, retry)
        except (OSError, hiredis.ProtocolError) as error:
            reason = f"{type(error).__name__}: {error}"
            circuit.trip(reason)
            raise StoreUnavailable(f"redis {self.address}: {reason}") from error
        except ReplyError as error:
            if error.code in LATER:
                circuit.trip(str(error))
            raise _judged(error) from None
        finally:
            if thread.left is not None:
                thread.left = left - (time.monotonic() - start)

    def _try(
        self, thread: _Thread, packed: bytes, count: int, deadline: float, retry: bool
    ) -> list[Any]:
        """Ask until there is an answer or no time. A timeout ends it: the time is gone."""
        pause = 0.005
        while True:
            connection, thread.connection = thread.connection, None
            held = connection is not None
            sent = False
            try:
                if connection is None:
                    left = deadline - time.monotonic()
                    addresses = self._process.resolver.addresses(left)
                    connection = Connection(self.address, addresses, deadline)
                sent = True
                replies = connection.ask(packed, count, deadline)
                for reply in replies:
                    # The server that is no master any more may be found elsewhere by its name.
                    if isinstance(reply, ReplyError) and (
                        reply.code in LATER or (reply.code == "READONLY" and held)
                    ):
                        raise reply
            except BaseException as error:
                if connection is not None:
                    connection.close()
                if not self._is_worth_another_try(error, sent and not retry):
                    raise
                if not held:
                    if time.monotonic() + pause >= deadline:
                        raise
                    time.sleep(pause)
                    pause = min(pause * 2, 0.1)
            else:
                thread.connection = connection
                return replies

    @staticmethod
    def _is_worth_another_try(error: BaseException, may_have_run: bool) -> bool:
        if isinstance(error, ReplyError):
            return error.code in LATER or error.code == "READONLY"
        return (
            isinstance(error, OSError | hiredis.ProtocolError)
            and not isinstance(error, TimeoutError)
            and not may_have_run
        )


def _judged(error: ReplyError) -> Exception:
    """Redis's own troubles become StoreUnavailable; a wrong command stays a ReplyError."""
    if error.code in REFUSED or error.code in LATER:
        log.error("redis refuses: %s", error)
        return StoreUnavailable(f"redis refuses: {error}")
    return error
