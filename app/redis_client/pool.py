"""The redis-py pool that makes the connections, from a URL that is checked at start.

The pool only makes connections: the client holds one for each thread and returns none.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

# The client has its own time limit and retries. A URL or a pool cannot change these.
FIXED: dict[str, Any] = {
    "decode_responses": False,
    "health_check_interval": 0,
    "retry": Retry(NoBackoff(), 0),
    "retry_on_error": [],
    "retry_on_timeout": False,
    # RESP2 has no push messages, and its replies have the same shape on every server.
    "protocol": 2,
    # No CLIENT SETINFO: it takes two round trips for each connection.
    "driver_info": None,
}


class _SharedContext(SSLConnection):
    """Has one TLS context for all connections: redis-py makes each its own, in 39 ms of CPU."""

    context: ssl.SSLContext

    def _wrap_socket_with_ssl(self, sock: Any) -> ssl.SSLSocket:
        return self.context.wrap_socket(sock, server_hostname=self.host)


def pool_from_url(url: str, password: str | None = None) -> ConnectionPool:
    """Make the pool for `redis://`, `rediss://` (TLS) or `unix://`; `password` overrides the URL's.

    `redis+sentinel://app@one:26379,two:26379,three:26379/main` asks the Sentinels for the primary
    named main, `rediss+sentinel://` by TLS; `sentinel_username` and `sentinel_password` in the
    query are for the Sentinels themselves. Otherwise the query takes redis-py's connection
    parameters, such as `ssl_ca_certs` or `client_name`. Raises ValueError for a URL, a parameter or
    a file that cannot be used, with a message that does not repeat the URL, which can hold a
    password.
    """
    scheme, _, rest = url.partition("+sentinel://")
    if rest:
        url, sentinels, name = _apart(f"{scheme}://{rest}")
    _check_parts(url)
    try:
        if rest:
            pool = _sentinel_pool(url, sentinels, name, tls=scheme == "rediss")
        else:
            pool = ConnectionPool.from_url(url)
        if password:
            pool.connection_kwargs["password"] = password
        pool.make_connection()  # does not connect: it checks the names of the parameters
    except TypeError as error:
        name = str(error).rpartition("argument ")[2]
        raise ValueError(f"unknown parameter {name}") from None
    except (ValueError, RedisError) as error:
        raise ValueError(f"{error}") from None
    if issubclass(pool.connection_class, SSLConnection) and not rest:
        _load_tls_files(pool)
    return pool


def _apart(url: str) -> tuple[str, list[tuple[str, int]], str]:
    """Return the URL of the first server without the path, all servers, and the path's name."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    servers = [urlsplit(f"//{host}") for host in hosts.split(",")]
    name = parts.path.strip("/")
    if not name or "/" in name or not all(server.hostname for server in servers):
        raise ValueError("…+sentinel:// needs hosts and the name of the primary: //host:26379/main")
    with suppress(ValueError):
        found = [(str(server.hostname), server.port or 26379) for server in servers]
        first = f"{parts.scheme}://{login}{at}{servers[0].netloc}?{parts.query}"
        return first, found, name
    raise ValueError("port and database must be whole numbers")


def _sentinel_pool(
    url: str, sentinels: list[tuple[str, int]], name: str, *, tls: bool
) -> ConnectionPool:
    apart = ("host", "port", "connection_class")
    given = cast(Any, parse_url)(url)
    options = {key: value for key, value in given.items() if key not in apart}
    # A Sentinel that is down must leave time for the next one within the budget of a request.
    asked = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2, "retry": FIXED["retry"]}
    for key in ("username", "password"):
        if value := options.pop(f"sentinel_{key}", None):
            asked[key] = value
    if tls:
        options["ssl"] = True
        asked |= {key: value for key, value in options.items() if key.startswith("ssl")}
    watched = cast(Any, Sentinel)(sentinels, sentinel_kwargs=asked, **options)
    return cast(ConnectionPool, watched.master_for(name).connection_pool)


def _check_parts(url: str) -> None:
    """Check what redis-py accepts in silence: it connects to database 0 for `redis://host/x`."""
    parts = urlsplit(url)
    if parts.scheme.endswith("+cluster"):
        raise ValueError(
            "Redis Cluster is not supported: one connection answers all requests of a thread, and "
            "follows no key to another node. For more availability use redis+sentinel://"
        )
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(
            f"scheme {parts.scheme!r} is not supported: use redis://host:port/db, "
            "rediss://host:port/db for TLS, unix:///path/to/socket?db=0, or "
            "redis+sentinel://host:port,host:port/name"
        )
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("unix:// needs the path of a socket")
    path_db = "" if parts.scheme == "unix" else parts.path.strip("/")
    with suppress(ValueError):
        _ = parts.port
        for db in [path_db, *parse_qs(parts.query).get("db", [])]:
            int(db or 0)
        return
    raise ValueError("port and database must be whole numbers")


def _load_tls_files(pool: ConnectionPool) -> None:
    """Have redis-py load the files, so that a wrong one fails at start, and keep its context."""
    options = pool.connection_kwargs
    # Without a password OpenSSL would ask for one on the terminal.
    options.setdefault("ssl_password", "")
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        if path := options.get(name):
            try:
                Path(path).stat() if name == "ssl_ca_path" else Path(path).open("rb").close()
            except OSError as error:
                raise ValueError(f"{name}={path!r}: {error.strerror}") from None
    if options.get("ssl_keyfile") and not options.get("ssl_certfile"):
        raise ValueError("ssl_keyfile needs ssl_certfile")
    if options.get("ssl_validate_ocsp") or options.get("ssl_validate_ocsp_stapled"):
        return  # redis-py checks these for each connection
    try:
        connection = cast(Any, pool.make_connection())
        with socket.socket() as plain, connection._wrap_socket_with_ssl(plain) as wrapped:
            shared = {"context": wrapped.context}
            pool.connection_class = type("TlsConnection", (_SharedContext,), shared)
    except ssl.SSLError as error:
        raise ValueError(
            "ssl_ca_certs must hold certificates, ssl_certfile and ssl_keyfile a certificate and "
            f"its key, all in PEM format: {error}"
        ) from None
