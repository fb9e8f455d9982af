"""An adapter for a redis-py client, for Redis Cluster. TLS and Sentinel do not need it.

Timeouts and retries are those of the wrapped client. Keep their sum under a second, for example
`socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 1)`; with redis-py's
defaults one command can take a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.client import NEVER_DECODE
from redis.exceptions import (
    ClusterError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from .client import UNAVAILABLE
from .connection import Argument, Command
from .errors import ReplyError, StoreUnavailable
from .lua import Script, Scripts


class RedisPyClient:
    """Wraps a `redis.Redis` or `redis.RedisCluster`.

    It sends one command at a time, because a cluster's commands go to different nodes. A session
    read is two round trips here and one with `connect`.
    """

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client = client
        self._scripts = Scripts()

    def execute(self, *command: Argument, retry: bool = True) -> Any:  # noqa: ARG002 - redis-py's
        """Send one command. Raises StoreUnavailable or ReplyError."""
        try:
            try:
                return self._send(command)
            except NoScriptError:
                return self._send(self._scripts.in_full(command))
        except (ReadOnlyError, OutOfMemoryError, NoPermissionError, ClusterError) as error:
            raise StoreUnavailable(f"redis refuses: {error}") from error
        except ResponseError as error:
            wrong = ReplyError(str(error))
            if wrong.code in UNAVAILABLE:
                raise StoreUnavailable(f"redis refuses: {error}") from error
            raise wrong from error
        except RedisError as error:
            raise StoreUnavailable(f"redis: {type(error).__name__}: {error}") from error

    def pipeline(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any]:
        """Send commands one after the other."""
        return [self.execute(*command, retry=retry) for command in commands]

    def script(self, lua: str) -> Script:
        """See `RedisClient.script`."""
        return self._scripts.add(lua)

    def end_request(self) -> None:
        """Nothing to end: the time limits are redis-py's."""

    def _send(self, command: Command) -> Any:
        # As bytes, also where the client was made with decode_responses=True.
        return self._client.execute_command(*command, **{NEVER_DECODE: True})  # type: ignore[no-untyped-call]
