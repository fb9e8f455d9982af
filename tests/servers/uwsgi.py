"""uWSGI under its entrypoint, with a small app that a test can control."""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil

from stack import ports
from stack.checkout import CHECKOUT
from tests.waiting import wait_until

ENTRYPOINT = CHECKOUT / "uwsgi" / "entrypoint"
RELOAD = CHECKOUT / "uwsgi" / "reload"
# The workers of STACK_PROCESSES=auto, the default.
cores = runpy.run_path(str(CHECKOUT / "uwsgi" / "cores.py"))["cores"]

# It can take time to load and to answer, leaves bodies unread, and shows which version and which
# process answered.
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


def ask(
    port: int,
    path: str = "/",
    *,
    body: bytes = b"",
    timeout: float = 30,
    address: str = "127.0.0.1",
) -> bytes:
    """GET (or POST a body) in the uwsgi protocol and return the answer's body.

    An *address* with a slash is the path of a unix socket, and *port* is not used.

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
    unix = "/" in address
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as connection:
        connection.settimeout(timeout)
        connection.connect(address if unix else (address, port))
        connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, separator, content = answer.partition(b"\r\n\r\n")
    if not separator or b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise ConnectionError(f"no good answer: {answer[:200]!r}")
    return content


@contextmanager
def asked(number: int, port: int, path: str, *, address: str = "127.0.0.1") -> Iterator[None]:
    """Keep *number* requests in progress: each that is answered is followed by another."""
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            ask(port, path, address=address)

    with ThreadPoolExecutor(number) as clients:
        running = [clients.submit(again) for _ in range(number)]
        try:
            yield
        finally:
            done.set()
    for one in running:
        one.result()


class Uwsgi:
    """One uWSGI under its entrypoint, with *app* (Python source) as its module `small`."""

    def __init__(
        self,
        folder: Path,
        *,
        app: str = APP,
        entrypoint: Path = ENTRYPOINT,
        address: str = "127.0.0.1",
        port: int = 0,
        tcp: bool = True,
        prepare: Callable[[dict[str, str]], object] = lambda environ: None,
        **environ: str,
    ) -> None:
        self.folder = folder
        self.address, self.port = address, port or ports.free(address)
        self.metrics_port = ports.free()
        self.log_file = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "small.py").write_text(app)
        # Not in *folder*: the path of a unix socket has at most 107 bytes.
        self._run = tempfile.TemporaryDirectory(prefix="uwsgi-")
        self.run = Path(self._run.name)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STACK_", "UWSGI_"))}
        self.environ = {
            **inherited,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STACK_APP": "small:application",
            "STACK_PROCESSES": "2",
            **({"APP_LISTEN": f"{address}:{self.port}"} if tcp else {}),
            "METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
            "APP_RUN": str(self.run),
            **environ,
        }
        prepare(self.environ)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [entrypoint], env=self.environ, cwd=folder, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_it_serves(self) -> None:
        wait_until(lambda: self.process.poll() is not None or self._answers(), 30)
        assert self.process.poll() is None, self.log

    def _answers(self) -> bool:
        try:
            ask(self.port, address=self.environ.get("APP_SOCKET", self.address), timeout=5)
        except OSError:
            return False
        return self.metric("uwsgi_workers", state="starting") == 0

    def metrics(self, patience: float = 10) -> str:
        """Return the exporter's text. It is a 503 while the master does not answer the exporter.

        A busy machine may delay the master so: that is waited for, *patience* seconds.
        """
        url, end = f"http://127.0.0.1:{self.metrics_port}/metrics", time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return str(answer.read().decode())
            except HTTPError as error:
                if error.code != 503 or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def series(self) -> set[str]:
        """Return the names and labels of all series."""
        lines = self.metrics().splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    def metric(self, name: str, /, **labels: str) -> float:
        """Return the value of a series, or NaN if there is no such series."""
        wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
        series = re.escape(f"{name}{{{wanted}}}" if wanted else name)
        try:
            found = re.search(rf"^{series} (\S+)$", self.metrics(), re.M)
        except OSError:
            return float("nan")
        return float(found[1]) if found else float("nan")

    def workers(self) -> dict[int, int]:
        """Return pids by worker."""
        found = re.findall(r'^uwsgi_worker_pid\{worker="(\d+)"\} (\S+)$', self.metrics(), re.M)
        return {int(worker): int(float(pid)) for worker, pid in found}

    def busy_threads(self) -> dict[int, int]:
        """Return the numbers of threads that are answering a request, by worker."""
        pattern = r'^uwsgi_worker_busy_threads\{worker="(\d+)"\} (\S+)$'
        found = re.findall(pattern, self.metrics(), re.M)
        return {int(worker): int(float(busy)) for worker, busy in found}

    def processes(self) -> dict[int, str]:
        """Command lines by pid of all below the entrypoint. A worker that died has a new pid."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = {}
        for child in children:
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                found[child.pid] = " ".join(child.cmdline())
        return found

    def stop(self, timeout: float = 90) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def reload(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RELOAD], env=self.environ, cwd=self.folder,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def end(self) -> None:
        if self.process.poll() is None:
            # The kernel kills uWSGI's master with its parent, and the workers follow.
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            self.process.wait(10)
            psutil.wait_procs(children, 10)
        self._run.cleanup()


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Uwsgi]:
    """Run a `Uwsgi` with these arguments. It serves from the start of the block to its end."""
    server = Uwsgi(folder, **settings)
    try:
        server.wait_until_it_serves()
        yield server
    finally:
        server.end()


def echo(folder: Path, **settings: Any) -> AbstractContextManager[Uwsgi]:
    """Serve the app of echo.py with two workers of two threads."""
    shape = {"STACK_PROCESSES": "2", "STACK_THREADS": "2", "STACK_LISTEN": "256"}
    app = {"STACK_APP": "tests.servers.echo:application", "PYTHONPATH": str(CHECKOUT)}
    key = {"SECRET_KEY_FILE": str(folder / "secret-key")}
    return serving(folder, **shape, **app, **key, **settings)
