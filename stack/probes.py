"""Asks running services whether they work, each in its own protocol."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from pathlib import Path

TIMEOUT_S = 5.0


def stack_answers(address: str, host: str, *, proxied: bool = False) -> bool:
    """Whether the app answers through nginx, and Redis behind it where the app checks that.

    /readyz of the app in app/ is 503 without Redis, and nginx answers 502 to 504 without an app. An
    app of the user's own may know no such page: its 404, or a redirect to a login, is an answer.
    """
    status = http_status(f"{address}/readyz", host=host, proxied=proxied)
    return status is not None and status < 500


def http_status(url: str, *, host: str = "", proxied: bool = False) -> int | None:
    """Return the status of a GET; None when there is no answer within TIMEOUT_S seconds.

    *host* is the Host header where only some names are served. With *proxied* the connection begins
    with the PROXY protocol and names no client. The certificate is not verified: it may be
    self-signed, and the address is this machine's own.
    """
    parts = urllib.parse.urlsplit(url)
    where = parts.hostname or "", parts.port or 80
    connection = http.client.HTTPConnection(*where)
    try:
        connection.sock = socket.create_connection(where, TIMEOUT_S)
        if proxied:
            connection.sock.sendall(b"PROXY UNKNOWN\r\n")
        if parts.scheme == "https":
            context = ssl._create_unverified_context()  # noqa: S323
            connection.sock = context.wrap_socket(connection.sock)
        connection.request("GET", parts.path or "/", headers={"Host": host} if host else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def redis_answers(path: Path, password_file: Path) -> bool:
    """Whether the Redis at a unix socket has loaded its data and accepts its monitor user."""
    try:
        password = password_file.read_text(encoding="ascii").strip()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(f"AUTH monitor {password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
    except OSError:
        return False
