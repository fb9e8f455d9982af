"""nginx's times reach the app with each request, and the browser after the app's own times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.inside.trace import begin
from tests.servers.nginx import Nginx, stack_behind_nginx

# It tells times of its own on one path, and repeats what nginx has told on all.
APP = """
def application(environ, start_response):
    told = {"/ours": "app;dur=1.25", "/theirs": "db;dur=3"}.get(environ["PATH_INFO"])
    headers = [("Content-Type", "text/plain")] + ([("Server-Timing", told)] if told else [])
    start_response("200 OK", headers)
    return [environ.get("NGINX_TIMES", "").encode()]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with stack_behind_nginx(tmp_path_factory.mktemp("times"), APP) as (front, _):
        yield front


def test_the_app_can_read_them(server: Nginx) -> None:
    times = server.get("/anywhere").body.decode()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "NGINX_TIMES": times}
    told = begin(environ, {}).nginx
    assert told["handed_over_at"] > 1.7e9
    assert (told["request_of_connection"], told["tls"]) == (1, "none")


def test_the_browser_gets_them_in_milliseconds_where_the_app_tells_its_own(server: Nginx) -> None:
    answer = server.get("/ours", "Connection: close")
    assert "server-timing" in answer.duplicates
    assert answer.headers["server-timing"].startswith("nginx-connect;dur=0")
    assert ", nginx-wait;dur=0" in answer.headers["server-timing"]


def test_other_answers_have_no_header_of_nginx(server: Nginx) -> None:
    assert "server-timing" not in server.get("/inside/").headers
    theirs = server.get("/theirs")
    assert (theirs.headers["server-timing"], theirs.duplicates) == ("db;dur=3", frozenset())
