"""One GET in the uwsgi protocol, for those who ask uWSGI without nginx: health check, reload, lab.

https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

from __future__ import annotations

import socket
import struct


def get(listen: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Return status and body of a GET. `listen` is address:port. Raises OSError without an answer.

    `timeout` is for each step; an answer that keeps coming may take longer.
    """
    host, _, port = listen.rpartition(":")
    # What listens on every address is asked on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
    }
    block = b"".join(
        struct.pack("<H", len(text)) + text.encode() for pair in variables.items() for text in pair
    )
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block)
        with connection.makefile("rb") as answer:
            line = answer.readline(1024).split()
            # To its end: a reset in the middle of an answer would be logged.
            _, _, body = answer.read().partition(b"\r\n\r\n")
    if len(line) < 2 or not line[1].isdigit():
        raise ConnectionError("the connection was closed without an answer")
    return int(line[1]), body


def status_of(listen: str, path: str, timeout: float) -> int:
    """Return the status alone. Raises OSError without an answer."""
    return get(listen, path, timeout)[0]
