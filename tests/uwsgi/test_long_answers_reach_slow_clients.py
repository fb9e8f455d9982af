"""Downloads, uploads and event streams last longer than harakiri, and clients may be slow.

Harakiri is 1 s here. One process with two threads: a kill would end both, and show in the metrics.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.foreign_apps import lasting
from tests.servers.nginx import Nginx, nginx, request
from tests.servers.uwsgi import Uwsgi, serving
from tests.waiting import wait_until

APP = Path(lasting.__file__).read_text(encoding="utf-8")
SHAPE = {"STACK_PROCESSES": "1", "STACK_THREADS": "2", "STACK_HARAKIRI": "1"}
Servers = tuple[Nginx, Uwsgi]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("lasting")
    streams = "/plain,/endless"
    with (
        serving(folder / "app", app=APP, **SHAPE) as app,
        nginx(folder, app.port, STACK_HARAKIRI="1", STACK_STREAM_PATHS=streams) as front,
    ):
        yield front, app


@pytest.fixture(autouse=True)
def no_worker_is_killed(servers: Servers) -> Iterator[None]:
    before = servers[1].metric("uwsgi_harakiri_total", worker="1")
    yield
    assert servers[1].metric("uwsgi_harakiri_total", worker="1") == before, servers[1].log[-500:]


def read(server: Nginx, path: str, bytes_per_s: float = 0, pause: float = 0) -> list[float]:
    """GET *path* and return when each part arrived, in seconds, and the length as the last item."""
    with socket.socket() as client:
        # Small: the kernel would otherwise take megabytes that nobody reads.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(60)
        client.connect(("127.0.0.1", server.port))
        client.sendall(request("GET", path, "Connection: close"))
        begun = time.monotonic()
        arrived: list[float] = []
        size = 0
        while part := client.recv(65536):
            head, separator, body = part.partition(b"\r\n\r\n") if not size else (b"", b"", part)
            assert size or head.startswith(b"HTTP/1.1 200 "), head
            size += len(body if separator or size else part)
            arrived.append(time.monotonic() - begun)
            time.sleep(pause if len(arrived) == 1 else 0)
            if bytes_per_s:
                time.sleep(max(0.0, size / bytes_per_s - (time.monotonic() - begun)))
    return [*arrived, size]


@pytest.mark.parametrize("path", ["/file/24", "/memory/24"])
def test_a_download_that_takes_longer_than_harakiri(servers: Servers, path: str) -> None:
    *arrived, size = read(servers[0], path, bytes_per_s=5e6)
    assert size == 24 << 20
    assert arrived[-1] > 4


def test_a_client_may_pause(servers: Servers) -> None:
    assert read(servers[0], "/memory/8", pause=12)[-1] == 8 << 20


def test_an_upload_that_takes_longer_than_harakiri(servers: Servers) -> None:
    with socket.create_connection(("127.0.0.1", servers[0].port), timeout=30) as client:
        head = request("POST", "/upload", "Content-Length: 800000", "Connection: close")
        client.sendall(head)
        for _ in range(8):
            time.sleep(0.3)
            client.sendall(b"x" * 100_000)
        answer = client.makefile("rb").read()
    assert answer.endswith(b"\r\n\r\n800000\n"), answer


@pytest.mark.parametrize("path", ["/events/6/0.5", "/plain/6/0.5"])
def test_events_arrive_one_by_one(servers: Servers, path: str) -> None:
    """Also in plain text below STACK_STREAM_PATHS, and for longer than harakiri."""
    *arrived, _ = read(servers[0], path)
    assert arrived[-1] > 2.4
    assert arrived[0] < arrived[-1] / 2
    assert len(arrived) >= 6


def test_a_stream_ends_when_its_client_goes(servers: Servers) -> None:
    with socket.create_connection(("127.0.0.1", servers[0].port), timeout=30) as client:
        client.sendall(request("GET", "/endless"))
        assert client.recv(100)
    wait_until(lambda: servers[0].get("/ended").body == b"1\n")


def test_a_stream_does_not_keep_a_stuck_request_alive(tmp_path: Path) -> None:
    """Harakiri still ends a worker that computes for too long, with its streams."""
    with (
        serving(tmp_path / "app", app=APP, **SHAPE) as app,
        nginx(tmp_path, app.port, STACK_HARAKIRI="1", STACK_STREAM_PATHS="/plain") as front,
        ThreadPoolExecutor() as clients,
    ):
        stream = clients.submit(read, front, "/plain/100/0.1")
        wait_until(lambda: app.busy_threads() == {1: 1})
        assert front.get("/stuck/8").status == 502
        assert app.metric("uwsgi_harakiri_total", worker="1") == 1
        assert len(stream.result(20)) < 100, "the stream did not break off"
