"""nginx under its entrypoint, on free ports and in a folder of the test.

Most tests use `stack_behind_nginx()`, with uWSGI behind it. `ask()` sends exactly the bytes that it
is given.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack import ports
from stack.checkout import CHECKOUT
from tests.servers.uwsgi import Uwsgi, echo, serving
from tests.waiting import wait_until

ENTRYPOINT = CHECKOUT / "nginx" / "entrypoint"
PATIENCE = 30.0  # seconds; the machine may be busy


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Answer:
    """A response, or `status` 0 when the connection was closed without one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    duplicates: frozenset[str] = frozenset()

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    request: bytes,
    *,
    tls: bool = False,
    address: str = "127.0.0.1",
    source: str = "",
    timeout: float = 20,
) -> Answer:
    """Send *request* unchanged, from the address *source*, and return the first response."""
    with ExitStack() as opened:
        connection: socket.socket = opened.enter_context(
            socket.create_connection((address, port), timeout, (source, 0) if source else None)
        )
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = opened.enter_context(
                context.wrap_socket(connection, server_hostname="localhost")
            )
        # nginx may answer and close before it has read the whole request.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        response = http.client.HTTPResponse(
            connection, method=request[:4].decode("latin-1").strip()
        )
        try:
            response.begin()
            body = response.read()
        except (http.client.BadStatusLine, ConnectionResetError, http.client.IncompleteRead):
            return Answer(0)
        names = [name.lower() for name, _ in response.getheaders()]
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            body,
            frozenset(name for name in names if names.count(name) > 1 and name != "set-cookie"),
        )


def get(port: int, path: str = "/", *headers: str, host: str = "localhost", **how: Any) -> Answer:
    return ask(port, request("GET", path, *headers, host=host), **how)


def request(
    method: str, path: str, *headers: str, host: str = "localhost", body: bytes | None = None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


@dataclass
class Nginx:
    """A running nginx."""

    port: int
    tls_port: int
    status_port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str = "/", *headers: str, **how: Any) -> Answer:
        return get(self.port, path, *headers, **how)

    def ask(self, request: bytes, **how: Any) -> Answer:
        return ask(self.port, request, **how)

    def access(self, marker: str) -> dict[str, Any]:
        """Return the log line of the request for the path *marker*, which nginx writes last."""
        return wait_until(lambda: self.lines(marker), PATIENCE)[0]

    def lines(self, path: str) -> list[dict[str, Any]]:
        """Return the log lines so far of the requests for *path*."""
        lines = (self.folder / "access.log").read_text("utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line["path"] == path]

    def errors(self) -> str:
        return (self.folder / "error.log").read_text("utf-8", "replace")


def environment(folder: Path, app_port: int, **settings: str) -> dict[str, str]:
    """Return the environment of the entrypoint. *settings* replace or add variables."""
    static = folder / "static"
    static.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "APP_HOST": "127.0.0.1",
        "APP_PORT": str(app_port),
        "NGINX_LISTEN": f"127.0.0.1:{ports.free()}",
        "NGINX_LISTEN_TLS": f"127.0.0.1:{ports.free()}",
        "NGINX_STATUS_LISTEN": f"127.0.0.1:{ports.free()}",
        "NGINX_RUN": str(folder / "run"),
        "NGINX_STATIC": str(static),
        "NGINX_RESOLVER": "127.0.0.1:1",
    } | settings


@contextmanager
def nginx(folder: Path, app_port: int, **settings: str) -> Iterator[Nginx]:
    environ = environment(folder, app_port, **settings)
    port, tls_port, status_port = (
        int(environ[name].rpartition(":")[2])
        for name in ("NGINX_LISTEN", "NGINX_LISTEN_TLS", "NGINX_STATUS_LISTEN")
    )
    with (folder / "access.log").open("wb") as out, (folder / "error.log").open("wb") as err:
        process = subprocess.Popen([ENTRYPOINT], env=environ, stdout=out, stderr=err)
    server = Nginx(port, tls_port, status_port, folder, process)
    address = environ["NGINX_LISTEN"].rpartition(":")[0].strip("[]")
    try:
        wait_until(lambda: process.poll() is not None or listens(address, port), PATIENCE)
        assert process.poll() is None, server.errors()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


@contextmanager
def stack_behind_nginx(
    folder: Path, app: str = "", **settings: str
) -> Iterator[tuple[Nginx, Uwsgi]]:
    """Serve the echo app, or *app* (Python source)."""
    backend = serving(folder / "uwsgi", app=app) if app else echo(folder / "uwsgi")
    with backend as uwsgi, nginx(folder, uwsgi.port, **settings) as server:
        yield server, uwsgi
