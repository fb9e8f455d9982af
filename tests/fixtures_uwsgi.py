"""uWSGI as the stack starts it, with a small app that a test can command."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRYPOINT = ROOT / "uwsgi" / "entrypoint"
RELOAD = ROOT / "uwsgi" / "reload"

# What an app of somebody's does that matters here: it takes time to load, answers after a while,
# leaves bodies unread, and shows which version and process answered.
APP = """
import os, random, sys, time

time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
VERSION = "1"

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        time.sleep(float(path.removeprefix("/sleep/")))
    body = f"{VERSION} {os.getpid()} {random.random()}".encode()
    if path == "/read":
        body = str(len(environ["wsgi.input"].read())).encode()
    if path == "/say":
        print("a line of the app's own", file=sys.stderr, flush=True)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str = "/", *, body: bytes = b"", timeout: float = 30) -> bytes:
    """GET (or POST a body) in the uwsgi protocol and return the answer's body.

    Raises ConnectionError when the connection ends without an answer.
    """
    variables = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
    }
    block = b"".join(
        struct.pack("<H", len(text)) + text.encode() for pair in variables.items() for text in pair
    )
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, separator, content = answer.partition(b"\r\n\r\n")
    if not separator or b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise ConnectionError(f"no good answer: {answer[:200]!r}")
    return content


class Server:
    """One uWSGI under its entrypoint."""

    def __init__(self, directory: Path, entrypoint: Path = ENTRYPOINT, **environ: str) -> None:
        self.directory = directory
        self.port, self.metrics_port = free_port(), free_port()
        self.run = directory / "run"
        self.log_file = directory / "log"
        (directory / "small.py").write_text(APP)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STACK_", "UWSGI_"))}
        self.environ = {
            **inherited,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STACK_APP": "small:application",
            "STACK_PROCESSES": "2",
            "APP_LISTEN": f"127.0.0.1:{self.port}",
            "METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
            "UWSGI_RUN": str(self.run),
            **environ,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [entrypoint], env=self.environ, cwd=directory, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_it_serves(self) -> None:
        wait_for(lambda: self.process.poll() is not None or self._answers(), 30)
        assert self.process.poll() is None, self.log

    def _answers(self) -> bool:
        try:
            ask(self.port, timeout=5)
        except OSError:
            return False
        return self.metric("uwsgi_workers", state="starting") == 0

    def metrics(self) -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10
        ) as answer:
            return str(answer.read().decode())

    def metric(self, name: str, /, **labels: str) -> float:
        """The value of one series; NaN when it is not there."""
        wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
        series = re.escape(f"{name}{{{wanted}}}" if wanted else name)
        try:
            found = re.search(rf"^{series} (\S+)$", self.metrics(), re.M)
        except OSError:
            return float("nan")
        return float(found[1]) if found else float("nan")

    def workers(self) -> dict[int, int]:
        """Pid by worker."""
        found = re.findall(r'^uwsgi_worker_pid\{worker="(\d+)"\} (\S+)$', self.metrics(), re.M)
        return {int(worker): int(float(pid)) for worker, pid in found}

    def busy_threads(self) -> dict[int, int]:
        """Threads that answer a request, by worker."""
        pattern = r'^uwsgi_worker_busy_threads\{worker="(\d+)"\} (\S+)$'
        found = re.findall(pattern, self.metrics(), re.M)
        return {int(worker): int(float(busy)) for worker, busy in found}

    def stop(self, timeout: float = 90) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def reload(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RELOAD], env=self.environ, cwd=self.directory,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def end(self) -> None:
        if self.process.poll() is None:
            # Its child goes with it: the kernel sends it SIGKILL, and uWSGI's workers follow.
            self.process.kill()
            self.process.wait(10)


@contextmanager
def serving(directory: Path, **environ: str) -> Iterator[Server]:
    server = Server(directory, **environ)
    try:
        server.wait_until_it_serves()
        yield server
    finally:
        server.end()


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until *condition* holds and return how long that took. Fails after *seconds*."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun
