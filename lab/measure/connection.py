"""A keep-alive connection that repeats one GET at little cost.

It replaces the client of Locust's FastHttpUser, whose parser (geventhttpclient's llhttp) it uses:
- that client repeats a request when the connection breaks before the answer. The lab counts such a
  request as failed, and the server would count one request more than the generator;
- a request costs it four times the CPU: 260 µs against 60, Locust's own counting included (in turns
  on one 2.5 GHz core). On two cores the generator's CPU time is taken from the server.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from gevent import socket
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

# Servers close connections that are idle for seconds. One that was used since is not checked.
IDLE_BEFORE_CHECK_S = 0.5
_BLOCK = 65_536


class NoAnswer(Exception):
    """The request was not answered; the text is the reason."""

    def __init__(self, text: str, *, waited: bool = False) -> None:
        super().__init__(text)
        self.waited = waited  # a timeout, not a refused or closed connection


class Connection:
    """A client of *address* (http://host:port) that GETs *path* with *cookie*.

    It connects on first use and again after a close. It is not for concurrent use.
    """

    def __init__(self, address: str, path: str, cookie: str, patience_s: float) -> None:
        parts = urlsplit(address)
        self._peer = parts.hostname or "", parts.port or 80
        self._patience_s = patience_s
        self._request = request_bytes(address, "GET", path, {"Cookie": cookie} if cookie else {})
        self._socket: socket.socket | None = None
        self._used = 0.0
        self.sent = 0.0  # time.perf_counter() at the start of the last request

    def get(self) -> tuple[int, bytes]:
        """Send the request; return status and body. Raises NoAnswer; the next one reconnects."""
        return self.send(self._request)

    def send(self, request: bytes, *, no_body: bool = False) -> tuple[int, bytes]:
        """The same for another request. *no_body*: its answer has none, as that of HEAD."""
        self.sent = time.perf_counter()
        answer = _Answer()
        answer.skips_body = no_body
        try:
            connected = self._connected()
            connected.sendall(request)
            while not answer.complete:
                data = connected.recv(_BLOCK)
                answer.feed(data)
                if not data and not answer.complete:
                    raise NoAnswer("the connection was closed before the answer was complete")
        except TimeoutError as error:
            self.close()
            text = f"no answer within {self._patience_s:g} s"
            raise NoAnswer(text, waited=True) from error
        except OSError as error:
            self.close()
            raise NoAnswer(_reason(error)) from error
        except HTTPParseError as error:
            self.close()
            raise NoAnswer(f"the answer is not HTTP: {error}") from error
        except BaseException:
            self.close()
            raise
        if not answer.should_keep_alive():
            self.close()
        self._used = time.perf_counter()
        return answer.get_code(), b"".join(answer.body)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self.sent - self._used > IDLE_BEFORE_CHECK_S:
            # A server may close an idle connection. That is no failure if it is noticed before
            # sending.
            self._socket.settimeout(0)
            try:
                self._socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                self._socket.settimeout(self._patience_s)  # nothing to read: still open
            except OSError:
                self.close()
            else:
                self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._peer, timeout=self._patience_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


class _Answer(HTTPResponseParser):
    """Collects the body. Headers that llhttp does not need are skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.body: list[bytes] = []
        self.complete = False
        self.skips_body = False

    def _on_body(self, part: bytearray) -> None:
        self.body.append(bytes(part))

    def _on_message_complete(self) -> None:
        self.complete = True

    def _on_message_begin(self) -> None: ...
    def _on_status(self, message: str) -> None: ...
    def _on_header_field(self, text: str) -> None: ...
    def _on_header_value(self, text: str) -> None: ...
    def _on_headers_complete(self) -> bool:
        return self.skips_body


def request_bytes(
    address: str, method: str, path: str, headers: Mapping[str, str], body: str = ""
) -> bytes:
    """A request as it is sent."""
    content = body.encode()
    head = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(address).netloc}", "User-Agent: lab"]
    if content or method not in ("GET", "HEAD", "OPTIONS"):
        head.append(f"Content-Length: {len(content)}")
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + content


def status_text(status: int) -> str:
    """502 → ``502 Bad Gateway``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _reason(error: OSError) -> str:
    known = {
        errno.ECONNREFUSED: "connection refused",
        errno.ECONNRESET: "connection reset by the server",
        errno.EPIPE: "connection closed by the server",
    }
    return known.get(error.errno or 0, str(error))
