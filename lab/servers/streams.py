#!/usr/bin/env python3
"""The stack's app with an endless stream, and a program that keeps some of them open.

    streams.py NUMBER

connects to APP_SOCKET, or to APP_LISTEN with STACK_SOCKET=tcp, returns when each stream has begun,
and leaves a process behind that ends when the app does. Each stream occupies a thread of uWSGI.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask, Response

PATH = "/stream"
WITHIN_S = 10.0
# Between two events.
EVERY_S = 60.0


def with_stream() -> Flask:
    # The program needs no app.
    from flask import Response  # noqa: PLC0415

    from app import create_app  # noqa: PLC0415

    def events() -> Iterator[bytes]:
        while True:
            yield b"data: open\n\n"
            time.sleep(EVERY_S)

    app = create_app()

    @app.get(PATH)
    def stream() -> Response:
        return Response(events(), mimetype="text/event-stream")

    return app


def main(arguments: list[str]) -> None:
    streams = [_open() for _ in range(int(arguments[0]))]
    if os.fork():
        return
    for number in range(3):  # those of the program that waits for this one
        os.close(number)
    while any(stream.recv(4096) for stream in streams):
        pass


def _open() -> socket.socket:
    variables = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
    }
    texts = [text.encode() for pair in variables.items() for text in pair]
    block = b"".join(struct.pack("<H", len(text)) + text for text in texts)
    if os.environ["STACK_SOCKET"] == "unix":
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(os.environ["APP_SOCKET"])
    else:
        host, _, port = os.environ["APP_LISTEN"].rpartition(":")
        stream = socket.create_connection((host, int(port)))
    stream.settimeout(WITHIN_S)
    stream.sendall(struct.pack("<BHB", 0, len(block), 0) + block)
    begin = b""
    while b"data: open" not in begin:
        part = stream.recv(4096)
        if not part:
            sys.exit(f"{PATH} has ended with {begin!r}")
        begin += part
    stream.settimeout(None)
    return stream


if __name__ == "__main__":
    main(sys.argv[1:])
