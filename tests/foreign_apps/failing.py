"""A WSGI app whose answers fail where Flask's error handling does not reach."""

import os
from collections.abc import Iterator
from typing import Any

ROW = b"x" * 999 + b"\n"


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """``/rows/N/HOW``: N rows without a length, then an exception, a kill or nothing."""
    what, *rest = environ["PATH_INFO"].strip("/").split("/")
    if what == "raise":
        raise RuntimeError("before any answer")
    if what == "exit":
        raise SystemExit("a view calls sys.exit()")
    headers = [("Content-Type", "text/plain")]
    if what == "header":
        headers.append(("Content-Disposition", "attachment; filename=報告.csv"))
    if what in {"rows", "events"}:
        if what == "events":
            headers = [("Content-Type", "text/event-stream")]
        start_response("200 OK", headers)
        return rows(int(rest[0]), rest[1])
    if what == "promised":
        start_response("200 OK", [*headers, ("Content-Length", "10000")])
        return rows(5, "raise")
    if what == "late":
        return late(start_response)
    if what == "close":
        start_response("200 OK", headers)
        return Unclosable()
    if what == "silent":
        return [b"no start_response"]
    start_response("200 OK", headers)
    return [b"fine\n"]


def rows(count: int, how: str) -> Iterator[bytes]:
    for _ in range(count):
        yield ROW
    if how == "raise":
        raise RuntimeError(f"after {count} rows")
    if how == "kill":
        os.kill(os.getpid(), 9)


def late(start_response: Any) -> Iterator[bytes]:
    """A generator that calls start_response itself, which WSGI allows."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"late\n"


class Unclosable:
    """An answer whose end fails after it was sent."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"fine\n"

    def close(self) -> None:
        raise RuntimeError("at the end")
