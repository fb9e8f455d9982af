"""One GET in the uwsgi protocol, for those who ask uWSGI without nginx: health check and reload.

https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

from __future__ import annotations

import socket
import struct


def status_of(listen: str, path: str, timeout: float) -> int:
    """Return the status of a GET. `listen` is address:port. Raises OSError without an answer."""
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
            while answer.read(65536):  # a reset in the middle of an answer would be logged
                pass
    if len(line) < 2 or not line[1].isdigit():
        raise ConnectionError("the connection was closed without an answer")
    return int(line[1])
