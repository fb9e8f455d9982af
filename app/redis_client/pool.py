"""The redis-py pool that makes the connections, from a URL that is checked at start.

The pool only makes connections: the client holds one for each thread, so nothing is ever returned
to the pool.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

# The client has its own time limit and retries. A URL or a pool cannot change these.
_FIXED: dict[str, Any] = {
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


def pool_from_url(url: str, password: str | None = None) -> ConnectionPool:
    """Make the pool for `redis://`, `rediss://` (TLS) or `unix://`; `password` overrides the URL's.

    The query takes redis-py's connection parameters, such as `ssl_ca_certs`, `ssl_certfile`,
    `ssl_keyfile`, `ssl_cert_reqs`, `client_name`. Raises ValueError for a URL, a parameter or a
    file that cannot be used. The message does not repeat the URL, which can hold a password.
    """
    _check_parts(url)
    try:
        pool = ConnectionPool.from_url(url)
        if password:
            pool.connection_kwargs["password"] = password
        prepare(pool)
        pool.make_connection()  # does not connect: it checks the names of the parameters
    except TypeError as error:
        name = str(error).rpartition("argument ")[2]
        raise ValueError(f"unknown parameter {name}") from None
    except (ValueError, RedisError) as error:
        raise ValueError(f"{error}") from None
    if issubclass(pool.connection_class, SSLConnection):
        _check_tls_files(pool.connection_kwargs)
    return pool


def prepare(pool: ConnectionPool) -> None:
    """Apply to a pool what the client relies on."""
    pool.connection_kwargs.update(_FIXED)
    # make_connection() counts every connection ever made, closed ones too.
    pool.max_connections = sys.maxsize


def name_of(pool: ConnectionPool) -> str:
    """The server's name for logs: `host:port`, a socket's path, or a Sentinel service."""
    options = pool.connection_kwargs
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return str(getattr(pool, "service_name", where))


def only_sockets(pool: ConnectionPool) -> bool:
    """Whether socket timeouts bound connecting: no name, TLS, Sentinel, credential provider."""
    options = pool.connection_kwargs
    if options.get("credential_provider") is not None:
        return False
    if pool.connection_class is UnixDomainSocketConnection:
        return True
    with suppress(ValueError):
        ip_address(options.get("host", "localhost"))
        return pool.connection_class is Connection
    return False


def _check_parts(url: str) -> None:
    """Check what redis-py accepts in silence: it connects to database 0 for `redis://host/x`."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(
            f"scheme {parts.scheme!r} is not supported: use redis://host:port/db, "
            "rediss://host:port/db for TLS or unix:///path/to/socket?db=0"
        )
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("unix:// needs the path of a socket")
        path_db = ""
    else:
        path_db = parts.path.strip("/")
    with suppress(ValueError):
        _ = parts.port
        for db in [path_db, *parse_qs(parts.query).get("db", [])]:
            int(db or 0)
        return
    raise ValueError("port and database must be whole numbers")


def _check_tls_files(options: dict[str, Any]) -> None:
    """Load the files of a TLS connection once, so that a wrong path fails at start."""
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        if path := options.get(name):
            try:
                Path(path).stat() if name == "ssl_ca_path" else Path(path).open("rb").close()
            except OSError as error:
                raise ValueError(f"{name}={path!r}: {error.strerror}") from None
    authority, certificate = options.get("ssl_ca_certs"), options.get("ssl_certfile")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError as error:
            raise ValueError(
                f"ssl_ca_certs={authority!r} holds no PEM certificates: {error}"
            ) from None
    if certificate:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(
                certificate, options.get("ssl_keyfile"), options.get("ssl_password") or ""
            )
        except ssl.SSLError as error:
            raise ValueError(
                f"ssl_certfile={certificate!r} and ssl_keyfile are not a certificate "
                f"and its key in PEM format: {error}"
            ) from None
    elif options.get("ssl_keyfile"):
        raise ValueError("ssl_keyfile needs ssl_certfile")
