"""Where Redis is and how to log in there, read from one URL."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

SocketAddress = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True)
class Address:
    """One Redis server. `repr` shows neither password nor user."""

    path: str | None
    host: str
    port: int
    db: int
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @classmethod
    def from_url(cls, url: str, password: str | None = None) -> Address:
        """Read `redis://[user[:password]@]host[:port][/db]` or `unix://[user@]/path[?db=0]`.

        `password` beats the one in the URL. Raises ValueError naming what is wrong, without
        repeating the URL: it may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "unix"}:
            raise ValueError(
                f"Redis URL: scheme {parts.scheme!r} is not supported: use redis://host:port/db or "
                "unix:///path/to/socket?db=0; for TLS, Sentinel or Cluster hand a redis-py client "
                "to RedisPyClient"
            )
        try:
            port = parts.port or 6379
            number = parse_qs(parts.query).get("db", ["0"])[0]
            if parts.scheme == "redis" and parts.path.strip("/"):
                number = parts.path.strip("/")
            db = int(number)
        except ValueError as error:
            raise ValueError("Redis URL: port and database must be whole numbers") from error
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("Redis URL: unix:// needs the path of a socket")
        return cls(
            path=unquote(parts.path) if parts.scheme == "unix" else None,
            host=parts.hostname or "127.0.0.1",
            port=port,
            db=db,
            user=unquote(parts.username) if parts.username else None,
            password=password or (unquote(parts.password) if parts.password else None),
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def greeting(self) -> list[tuple[str | int, ...]]:
        """The commands that open a connection."""
        commands: list[tuple[str | int, ...]] = []
        if self.password:
            commands.append(
                ("AUTH", self.user, self.password) if self.user else ("AUTH", self.password)
            )
        if self.db:
            commands.append(("SELECT", self.db))
        return commands


class Resolver:
    """Look a name up without ever waiting longer than the caller can.

    `getaddrinfo` knows no timeout: a name server that does not answer holds it for 5 s a try, and
    that is what happens inside a container network when the Redis container is gone. So it runs on
    a thread of its own, and who cannot wait gets the last answer that is known.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._known: list[SocketAddress] = []
        self._error: OSError | None = None
        self._busy: threading.Event | None = None
        if address.path is not None:
            self._known = [(socket.AF_UNIX, address.path)]
        else:
            self._try(socket.AI_NUMERICHOST)
        self._fixed = bool(self._known)

    def addresses(self, wait: float) -> list[SocketAddress]:
        """All addresses of the server, after at most `wait` seconds. Raises OSError without any."""
        if not self._fixed:
            done = self._busy
            if done is None:
                done = self._busy = threading.Event()
                threading.Thread(target=self._look_up, args=(done,), daemon=True).start()
            done.wait(wait)
        if not self._known:
            raise self._error or TimeoutError(f"the name {self._address.host} is not resolved yet")
        return self._known

    def _look_up(self, done: threading.Event) -> None:
        self._try(0)
        self._busy = None
        done.set()

    def _try(self, flags: int) -> None:
        try:
            found = socket.getaddrinfo(
                self._address.host, self._address.port, type=socket.SOCK_STREAM, flags=flags
            )
        except OSError as error:
            self._error = error
        else:
            self._known = [(entry[0], entry[4]) for entry in found]
