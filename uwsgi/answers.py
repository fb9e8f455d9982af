"""Makes an answer that fails look failed to the client.

The uwsgi protocol has no end mark. Without Content-Length nginx takes the end of the connection for
the end of the answer, so a generator that raises half-way would reach the client as a complete 200.
An exception before uWSGI has sent anything would become a 502 or an empty 200.

- An exception before the first 64 KiB of an answer without a length is a 500.
- An answer that ends within them gets a Content-Length.
- A longer one is sent as it comes, with SO_LINGER set to 0 until its regular end. Whatever closes
  the socket earlier, an exception or a killed worker, resets the connection, and nginx breaks off
  the client's. (!) A unix socket has no reset.

Server-sent events and answers with `X-Accel-Buffering: no` are never held back.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

# nginx holds back as much before it sends an answer on (uwsgi_busy_buffers_size).
MOST_GATHERED = 64 * 1024

_ERROR = b"Internal Server Error\n"
_PLAIN_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ORDINARY_CLOSE = struct.pack("ii", 0, 0)
_WITHOUT_BODY = ("1", "204", "304")

log = logging.getLogger("uwsgi.answers")


def guarded(app: WSGIApplication, connection_fd: Callable[[], int]) -> WSGIApplication:
    """Return *app* with its failures made visible. *connection_fd* is uWSGI's function."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        head = _Head(start_response)
        body: Iterable[bytes] = ()
        try:
            body = app(environ, head.start)
            chunks = iter(body)
            first = next(chunks, b"")
            end_shows = head.has_length or head.sent or environ["REQUEST_METHOD"] == "HEAD"
            if not end_shows and not head.is_stream():
                first, end_shows = _gather(first, chunks)
                if end_shows:
                    head.headers.append(("Content-Length", str(len(first))))
            chunks = chain((first,), chunks)
            if not end_shows:
                chunks = _resetting(chunks, connection_fd())
            head.send()
        # SystemExit too: sys.exit() in a view would end a worker with other threads' requests.
        except (Exception, SystemExit):
            _report(environ)
            _close(body)
            if head.sent:
                raise
            length = ("Content-Length", str(len(_ERROR)))
            start_response("500 Internal Server Error", [_PLAIN_TEXT, length])
            return (_ERROR,)
        return _Body(chunks, body, environ)

    return application


class _Head:
    """The status and headers that the app gave, held back until the first chunk is there."""

    __slots__ = ("_forward", "_status", "_write", "has_length", "headers")

    def __init__(self, forward: StartResponse) -> None:
        self._forward = forward
        self._status: str | None = None
        self.headers: Headers = []
        # Whether nginx can tell the end of this answer from its head.
        self.has_length = False
        self._write: Callable[[bytes], object] | None = None

    def start(
        self, status: str, headers: Headers, exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """WSGI's start_response. Raises ValueError for text that HTTP cannot carry."""
        if exc_info and exc_info[1] and self.sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status is not None and not exc_info:
            raise AssertionError("start_response was called twice without exc_info")
        self.has_length = status.startswith(_WITHOUT_BODY)
        for name, value in headers:
            # uWSGI drops the whole answer otherwise, and the client gets an empty 200.
            if not (value.isascii() and name.isascii() and status.isascii()):
                (status + name + value).encode("latin-1")
            if len(name) == 14 and name.lower() == "content-length":
                self.has_length = True
        self._status, self.headers = status, list(headers)
        return self._write_now

    def send(self) -> Callable[[bytes], object]:
        """Send status and headers unless they are sent, and return uWSGI's `write`."""
        if self._status is None:
            raise AssertionError("the app returned an answer without calling start_response")
        if self._write is None:
            self._write = self._forward(self._status, self.headers)
        return self._write

    @property
    def sent(self) -> bool:
        return self._write is not None

    def is_stream(self) -> bool:
        """Whether the client waits for each chunk."""
        for name, value in self.headers:
            lower = name.lower()
            if lower == "content-type" and value.lower().startswith("text/event-stream"):
                return True
            if lower == "x-accel-buffering" and value.lower() == "no":
                return True
        return False

    def _write_now(self, data: bytes) -> object:
        return self.send()(data)


class _Body:
    """The iterable that uWSGI sends. It logs an exception once and ends the answer there."""

    __slots__ = ("_app_body", "_chunks", "_environ")

    def __init__(
        self, chunks: Iterator[bytes], app_body: Iterable[bytes], environ: WSGIEnvironment
    ) -> None:
        self._chunks = chunks
        self._app_body = app_body
        self._environ = environ

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except (Exception, SystemExit):
            # The head is sent. nginx notices the early end by the length or by the reset.
            _report(self._environ)

    def close(self) -> None:
        if close := getattr(self._app_body, "close", None):
            close()


def _gather(first: bytes, chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """Return up to MOST_GATHERED bytes, or a chunk more, and whether the answer ends with them."""
    gathered = [first]
    size = len(first)
    while size <= MOST_GATHERED:
        chunk = next(chunks, None)
        if chunk is None:
            return b"".join(gathered), True
        gathered.append(chunk)
        size += len(chunk)
    return b"".join(gathered), False


def _resetting(chunks: Iterator[bytes], connection: int) -> Iterator[bytes]:
    """Yield *chunks*; a close of the connection before their end resets it."""
    _set_linger(connection, _RESET_ON_CLOSE)
    yield from chunks
    _set_linger(connection, _ORDINARY_CLOSE)


def _set_linger(connection: int, value: bytes) -> None:
    borrowed = socket.socket(fileno=connection)
    try:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    finally:
        borrowed.detach()


def _close(body: Any) -> None:
    """Close the app's answer after a failure, which is what gets reported."""
    try:
        if close := getattr(body, "close", None):
            close()
    except (Exception, SystemExit):
        log.exception("closing a failed answer failed too")


def _report(environ: WSGIEnvironment) -> None:
    log.exception(
        "%s %s failed outside the app's own error handling (request %s)",
        environ["REQUEST_METHOD"],
        environ.get("PATH_INFO", ""),
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
