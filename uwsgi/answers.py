"""Makes an answer that fails look failed to the client.

The uwsgi protocol has no end mark. Without Content-Length nginx takes the end of the connection for
the end of the answer, so a generator that raises half-way would reach the client as a complete 200.
An exception before uWSGI has sent anything would become a 502 or an empty 200.

- An exception before the first 64 KiB of an answer without a length is a 500.
- An answer that ends within them gets a Content-Length.
- A longer one is sent as it comes. Over TCP, SO_LINGER is 0 until its regular end: whatever closes
  the socket earlier, an exception or a killed worker, resets the connection, and nginx breaks off
  the client's. A unix socket has no reset. After an exception it stays open instead, until nginx
  breaks off the client's at its uwsgi_read_timeout. (!) A killed worker looks like the end: the log
  warns of each path with such answers, and STACK_STREAM_PATHS sends them over TCP.

Streams are never held back: answers below STACK_STREAM_PATHS, server-sent events, and answers with
`X-Accel-Buffering: no`.

Harakiri watches the app, not the client. Its time runs while the app computes a part of the answer.
It does not run while uWSGI sends one, which socket-timeout limits, and not in streams.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from harakiri import Harakiri

    Headers = list[tuple[str, str]]

# nginx holds back as much before it sends an answer on (uwsgi_busy_buffers_size).
MOST_GATHERED = 64 * 1024

_ERROR = b"Internal Server Error\n"
_PLAIN_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ORDINARY_CLOSE = struct.pack("ii", 0, 0)
_WITHOUT_BODY = ("1", "204", "304")

# Unix sockets of answers that broke off, until nginx has closed them.
_held: set[socket.socket] = set()

# Paths that the log has warned of; not more than MOST_WARNED, because paths may contain ids.
_warned: set[str] = set()
MOST_WARNED = 100

log = logging.getLogger("uwsgi.answers")


def guarded(
    app: WSGIApplication,
    connection_fd: Callable[[], int],
    harakiri: Harakiri,
    count: Callable[[WSGIEnvironment], None],
) -> WSGIApplication:
    """Return *app* with its failures made visible, and passed to *count*.

    *connection_fd* is uWSGI's function.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        head = _Head(start_response)
        report = partial(_report, environ, count)
        stream = "STREAM_PATH" in environ  # nginx sets it below STACK_STREAM_PATHS
        if stream:
            harakiri.pause()
        else:
            harakiri.start()
        body: Iterable[bytes] = ()
        try:
            body = app(environ, head.start)
            chunks = iter(body)
            first = next(chunks, b"")
            end_shows = head.has_length or head.sent or environ["REQUEST_METHOD"] == "HEAD"
            stream = stream or head.is_stream
            if stream:
                head.headers.append(("X-Accel-Buffering", "no"))
            elif not end_shows:
                first, end_shows = _gather(first, chunks)
                if end_shows:
                    head.headers.append(("Content-Length", str(len(first))))
            chunks = chain((first,), chunks)
            if not end_shows:
                chunks = _breaking(chunks, connection_fd(), "" if stream else environ["PATH_INFO"])
            head.send()
        # SystemExit too: sys.exit() in a view would end a worker with other threads' requests.
        except (Exception, SystemExit):
            report()
            _close(body)
            harakiri.stop()
            if head.sent:
                raise
            length = ("Content-Length", str(len(_ERROR)))
            start_response("500 Internal Server Error", [_PLAIN_TEXT, length])
            return (_ERROR,)
        return _Body(chunks, body, report, harakiri, stream)

    return application


class _Head:
    """The status and headers that the app gave, held back until the first chunk is there."""

    __slots__ = ("_forward", "_status", "_write", "has_length", "headers", "is_stream")

    def __init__(self, forward: StartResponse) -> None:
        self._forward = forward
        self._status: str | None = None
        self.headers: Headers = []
        # Whether nginx can tell the end of this answer from its head.
        self.has_length = False
        # Whether the client waits for each chunk.
        self.is_stream = False
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
        self.is_stream = False
        for name, value in headers:
            # uWSGI drops the whole answer otherwise, and the client gets an empty 200.
            if not (value.isascii() and name.isascii() and status.isascii()):
                (status + name + value).encode("latin-1")
            size = len(name)
            if size == 14 and name.lower() == "content-length":
                self.has_length = True
            elif size == 12 and value.lower().startswith("text/event-stream"):
                self.is_stream = name.lower() == "content-type"
            elif size == 17 and value.lower() == "no" and name.lower() == "x-accel-buffering":
                self.is_stream = True
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

    def _write_now(self, data: bytes) -> object:
        return self.send()(data)


class _Body:
    """The iterable that uWSGI sends. It logs an exception once and ends the answer there."""

    __slots__ = ("_app_body", "_chunks", "_harakiri", "_report", "_stream")

    def __init__(
        self,
        chunks: Iterator[bytes],
        app_body: Iterable[bytes],
        report: Callable[[], None],
        harakiri: Harakiri,
        stream: bool,
    ) -> None:
        self._chunks = chunks
        self._app_body = app_body
        self._report = report
        self._harakiri = harakiri
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self._stream:
                self._harakiri.pause()
                yield from self._chunks
            for chunk in self._chunks:
                self._harakiri.pause()
                yield chunk
                self._harakiri.resume()
        except (Exception, SystemExit):
            # The head is sent. nginx notices the early end by the length or by _breaking().
            self._report()

    def close(self) -> None:
        try:
            if close := getattr(self._app_body, "close", None):
                close()
        except (Exception, SystemExit):
            self._report()
        finally:
            self._harakiri.stop()


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


def _breaking(chunks: Iterator[bytes], connection: int, path: str) -> Iterator[bytes]:
    """Yield *chunks*. If they end with an exception, nginx does not see an end of the answer.

    A *path* is warned of where a killed worker is not seen either.
    """
    borrowed = socket.socket(fileno=connection)
    try:
        if borrowed.family != socket.AF_UNIX:
            borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        elif path and path not in _warned and len(_warned) < MOST_WARNED:
            _warned.add(path)
            log.warning(
                "%s: more than 64 KiB without Content-Length over a unix socket; if the worker is "
                "killed, the client takes a part for the whole: add it to STACK_STREAM_PATHS",
                path,
            )
        try:
            yield from chunks
        except (Exception, SystemExit):
            if borrowed.family == socket.AF_UNIX:
                _hold_open(borrowed.dup())
            raise
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDINARY_CLOSE)
    finally:
        borrowed.detach()


def _hold_open(connection: socket.socket) -> None:
    _held.add(connection)
    for held in tuple(_held):
        try:
            closed = not held.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError:
            closed = True
        if closed:
            _held.discard(held)
            held.close()


def _close(body: Any) -> None:
    """Close the app's answer after a failure, which is what gets reported."""
    try:
        if close := getattr(body, "close", None):
            close()
    except (Exception, SystemExit):
        log.exception("closing a failed answer failed too")


def _report(environ: WSGIEnvironment, count: Callable[[WSGIEnvironment], None]) -> None:
    count(environ)
    log.exception(
        "%s %s failed outside the app's own error handling (request %s)",
        environ["REQUEST_METHOD"],
        environ.get("PATH_INFO", ""),
        environ.get("HTTP_X_REQUEST_ID", "-"),
    )
