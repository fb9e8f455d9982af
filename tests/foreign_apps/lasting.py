"""A WSGI app with long answers: downloads, and events that take their time."""

import time
from collections.abc import Iterator
from typing import Any

PIECE = b"x" * 8192


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Its paths.

    ``/file/N`` and ``/memory/N``: N MB in pieces or in one, ``/upload``: reads and counts the body,
    ``/events/N/SECONDS``: N server-sent events, ``/plain/N/SECONDS``: the same as plain text,
    ``/endless``: lines until the client goes, ``/stuck/SECONDS``: computes for so long,
    ``/ended``: how many endless answers have ended.
    """
    what, *rest = environ["PATH_INFO"].strip("/").split("/")
    headers = [("Content-Type", "text/plain")]
    if what in {"file", "memory"}:
        size = int(rest[0]) << 20
        start_response("200 OK", [*headers, ("Content-Length", str(size))])
        return (PIECE for _ in range(size // 8192)) if what == "file" else [b"x" * size]
    if what == "events":
        headers = [("Content-Type", "text/event-stream")]
    if what in {"events", "plain"}:
        start_response("200 OK", headers)
        return ticking(int(rest[0]), float(rest[1]))
    if what == "endless":
        start_response("200 OK", headers)
        return endless()
    body = f"{len(ended)}\n".encode()
    if what == "stuck":
        time.sleep(float(rest[0]))
    if what == "upload":
        read = environ["wsgi.input"].read
        body = f"{sum(map(len, iter(lambda: read(65536), b'')))}\n".encode()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def ticking(count: int, seconds: float) -> Iterator[bytes]:
    for number in range(count):
        yield f"data: {number}\n\n".encode()
        time.sleep(seconds)


ended: list[bool] = []


def endless() -> Iterator[bytes]:
    try:
        while True:
            yield b"data: more\n\n"
            time.sleep(0.05)
    finally:
        ended.append(True)
