"""A small HTTP server whose answers and delays a test of the load generator controls."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.measure.load_plan import Target

CHECKOUT = Path(__file__).parents[2]
BODY = b"the right answer"
# status 0: close the connection without an answer.
Answer = tuple[int, bytes]


@dataclass
class Server:
    """Answers GET by *answer*, which sees the path and the request's number from 1.

    log: paths in the order of arrival. together: sets of paths that were being worked on at one
    moment. The gate is open unless a test closes it: then nobody is answered.
    """

    answer: Callable[[str, int], Answer] = lambda path, number: (200, BODY)
    delay_s: float = 0.0
    idle_s: float | None = None  # closes a connection after this time without a request
    per_connection: int = 1_000_000  # answers, of which the last one has Connection: close
    connections: int = 0
    address: str = ""
    log: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    together: set[frozenset[str]] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _working: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, path: str) -> Answer:
        with self._lock:
            number = next(self._numbers)
            self.log.append(path)
            self._working.append(path)
            self.together.add(frozenset(self._working))
        self.gate.wait()
        time.sleep(self.delay_s)
        status, body = self.answer(path, number)
        with self._lock:
            self._working.remove(path)
            self.statuses.append(status)
        return status, body

    def stand_still(self, seconds: float) -> None:
        self.gate.clear()
        time.sleep(seconds)
        self.gate.set()

    def target(self, name: str = "arm", **changes: Any) -> Target:
        """An arm of this server with its name as path; its process is the test."""
        fields = {"address": self.address, "path": f"/{name}", "pids": {"app": [os.getpid()]}}
        return Target(name=name, **{**fields, **changes})


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise Nagle's algorithm and a delayed ACK add 40 ms to an answer in two writes.
        disable_nagle_algorithm = True
        timeout = server.idle_s

        def setup(self) -> None:
            server.connections += 1
            self.left = server.per_connection
            super().setup()

        def do_GET(self) -> None:
            status, body = server.work(self.path)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.left -= 1
            if not self.left:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *arguments: object) -> None:
            pass  # the client has disconnected

    httpd = Quiet(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{httpd.server_port}"
    server.gate.set()
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def ignore(line: str) -> None:
    """A progress callback that does nothing."""
