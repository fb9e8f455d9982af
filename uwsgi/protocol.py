"""One GET in the uwsgi protocol, without nginx: for the health check, uwsgi/reload and the tests.

https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

from __future__ import annotations

import socket
import struct

DEFAULT_LISTEN = "0.0.0.0:3031"  # of APP_LISTEN


def get(listen: str, path: str, timeout: float, host: str = "localhost") -> tuple[int, bytes]:
    """Return status and body of a GET.

    *listen* is address:port or the path of a unix socket, *timeout* the seconds for each step: a
    long response may take longer in all. Raises OSError without a response.
    """
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": listen.rpartition(":")[2],
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
    }
    block = b"".join(
        struct.pack("<H", len(text)) + text.encode() for pair in variables.items() for text in pair
    )
    with _connected(listen, timeout) as connection:
        connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block)
        with connection.makefile("rb") as response:
            line = response.readline(1024).split()
            # uWSGI logs a write error if the connection is closed before the end of the response.
            _, _, body = response.read().partition(b"\r\n\r\n")
    if len(line) < 2 or not line[1].isdigit():
        raise ConnectionError("the connection was closed without a response")
    return int(line[1]), body


def _connected(listen: str, timeout: float) -> socket.socket:
    if listen.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(listen)
        return connection
    address, _, port = listen.rpartition(":")
    # A server on every interface is asked on the loopback interface.
    address = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(address, address.strip("[]"))  # noqa: S104
    return socket.create_connection((address, int(port)), timeout)
