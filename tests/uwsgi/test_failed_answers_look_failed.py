"""An answer that fails is a 500, or it breaks off: no client takes it for a complete one."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign_apps import failing
from tests.servers.nginx import Nginx, nginx
from tests.servers.uwsgi import Uwsgi, serving

APP = Path(failing.__file__).read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=["tcp", "unix"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Nginx, Uwsgi]]:
    folder = tmp_path_factory.mktemp("failing")
    with tempfile.TemporaryDirectory(prefix="app-") as short:
        # Over a unix socket, nginx breaks off after STACK_HARAKIRI + 5 s.
        settings = {"STACK_HARAKIRI": "1"}
        if request.param == "unix":
            settings["APP_SOCKET"] = f"{short}/s"
        streams = {"STACK_STREAM_PATHS": "/rows/2000/kill"}
        with (
            serving(folder / "app", app=APP, **settings) as app,
            nginx(folder, app.port, **settings, **streams) as front,
        ):
            yield front, app


def fetch(server: tuple[Nginx, Uwsgi], path: str) -> tuple[int, bytes]:
    """GET *path*. Raises http.client.IncompleteRead when the answer breaks off."""
    connection = http.client.HTTPConnection("127.0.0.1", server[0].port, timeout=30)
    connection.request("GET", path, headers={"Host": "localhost", "X-Request-Id": "a1b2c3d4"})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize(
    "path", ["/raise", "/header", "/exit", "/silent", "/rows/0/raise", "/rows/60/raise"]
)
def test_a_failure_before_the_first_64_KiB_is_a_500(server: tuple[Nginx, Uwsgi], path: str) -> None:
    status, body = fetch(server, path)
    assert (status, body) == (500, b"Internal Server Error\n")
    assert f"GET {path} failed" in server[1].log


@pytest.mark.parametrize(
    "path",
    ["/rows/100/raise", "/rows/2000/raise", "/rows/2000/kill", "/events/5/raise", "/promised"],
)
def test_a_failure_after_them_breaks_the_connection(server: tuple[Nginx, Uwsgi], path: str) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        fetch(server, path)


def test_an_exception_is_logged_with_its_request(server: tuple[Nginx, Uwsgi]) -> None:
    with pytest.raises(http.client.IncompleteRead):
        fetch(server, "/rows/300/raise")
    log = server[1].log
    assert "RuntimeError: after 300 rows" in log
    assert log.count("GET /rows/300/raise failed") == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b"fine\n"),
        ("/late", b"late\n"),
        ("/rows/3/end", failing.ROW * 3),
        ("/rows/2000/end", failing.ROW * 2000),
        ("/events/3/end", failing.ROW * 3),
    ],
)
def test_a_whole_answer_arrives_whole(server: tuple[Nginx, Uwsgi], path: str, body: bytes) -> None:
    assert fetch(server, path) == (200, body)


def test_a_short_answer_gets_its_length(server: tuple[Nginx, Uwsgi]) -> None:
    answer = server[0].get("/rows/3/end")
    assert answer.headers["content-length"] == "3000"


def test_a_killed_worker_over_a_unix_socket_is_warned_of(server: tuple[Nginx, Uwsgi]) -> None:
    """The one failure that no client can see: the log names the path before it happens."""
    for _ in range(5):
        fetch(server, "/rows/1999/end")
    warnings = server[1].log.count("/rows/1999/end: more than 64 KiB")
    # Once in each of the two workers.
    assert warnings in ((1, 2) if "APP_SOCKET" in server[1].environ else (0,))
