"""Asks each service whether it works, in its own protocol."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import urllib.parse
from pathlib import Path

PATIENCE_S = 5.0


def http_status(url: str, *, host: str | None = None, patience_s: float = PATIENCE_S) -> int | None:
    """Return the status of a GET, or None when there is no answer.

    *host* is the name to ask for where only some names are answered. The certificate is not looked
    at: it is the stack's own, on an address of this machine.
    """
    parts = urllib.parse.urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=patience_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=patience_s
        )
    try:
        connection.request("GET", parts.path or "/", headers={"Host": host} if host else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def http_text(url: str) -> str:
    """Return the body of a GET. Raises OSError when there is no good answer."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        body = response.read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"{url} answers {response.status}")
    return body


def uwsgi_answers(port: int, *, host: str = "", path: str = "/livez") -> bool:
    """Whether the app behind uWSGI's own protocol answers, with whatever status below 500."""
    variables = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": host or "localhost",
        "REMOTE_ADDR": "127.0.0.1",
    }
    packet = b"".join(
        struct.pack("<H", len(part)) + part
        for pair in variables.items()
        for part in (pair[0].encode(), pair[1].encode())
    )
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(struct.pack("<BHB", 0, len(packet), 0) + packet)
            with connection.makefile("rb") as answer:
                status = answer.readline().split()
    except OSError:
        return False
    return len(status) > 1 and status[0].startswith(b"HTTP/") and status[1] < b"500"


def redis_answers(path: Path, password_file: Path) -> bool:
    """Whether Redis has loaded its data and lets its monitor in."""
    try:
        password = password_file.read_text(encoding="ascii").strip()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(path))
            connection.sendall(f"AUTH monitor {password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
    except OSError:
        return False
