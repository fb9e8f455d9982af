"""nginx's own errors are a page with the request id, in HTML or JSON according to Accept."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.nginx import Answer, Nginx, nginx, request, stack_behind_nginx
from tests.servers.uwsgi import echo

CHUNKS_IN_ZIP = (
    "POST /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n{}\r\n0\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with stack_behind_nginx(folder, STACK_HOSTS="localhost", STACK_LOGIN_RATE="20") as (front, _):
        yield front


def check_html(answer: Answer, status: int) -> None:
    page = answer.body.decode()
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<title>{status} · " in page
    assert f"<code>{answer.headers['x-request-id']}</code>" in page
    assert "<!--#" not in page and "[an error occurred" not in page
    assert not re.search(r"<style|<script|\sstyle=|\son\w+=", page), (
        "the Content-Security-Policy forbids inline code"
    )
    assert answer.headers["cache-control"] == "no-store"


def check_json(answer: Answer, status: int) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    page_data = answer.json()
    assert list(page_data) == ["status", "error", "message", "request_id"]
    assert page_data["status"] == status
    assert page_data["request_id"] == answer.headers["x-request-id"]
    assert len(page_data["error"]) > 5 and len(page_data["message"]) > 20
    assert answer.headers["cache-control"] == "no-store"


def both(server: Nginx, head: str, status: int) -> None:
    """Check *head*, a request with {} as the place for more headers, with both Accept headers."""
    check_html(server.ask(head.format("").encode("latin-1")), status)
    check_json(server.ask(head.format("Accept: application/json\r\n").encode("latin-1")), status)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /up HTTP/1.1\r\nHost: <script>\r\n{}\r\n", 400),
        ("GET /.git/config HTTP/1.1\r\nHost: localhost\r\n{}\r\n", 404),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n", 404),
        ("TRACE /up HTTP/1.1\r\nHost: localhost\r\n{}\r\n", 405),
        ("POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n{}\r\n", 413),
        ("GET /up HTTP/1.1\r\nHost: example.org\r\n{}\r\n", 421),
        (CHUNKS_IN_ZIP, 400),
    ],
)
def test_by_accept(server: Nginx, head: str, status: int) -> None:
    both(server, head, status)


def test_html_if_nginx_could_not_read_accept(server: Nginx) -> None:
    check_html(server.get("/" + "x" * 30_000), 414)
    check_html(server.get("/up", "Cookie: " + "x" * 30_000), 431)
    check_html(server.ask(b"\x16\x03\x01\x02\x00\x01\r\n\r\n"), 400)


def test_json_only_for_clients_that_prefer_it(server: Nginx) -> None:
    for accept, kind in {
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html",
        "*/*": "text/html",
        "": "text/html",
        "text/html, application/json;q=0.9": "text/html",
        "application/json": "application/json",
        "application/json, text/plain, */*": "application/json",
        "application/problem+json": "application/json",
        "application/json, text/html;q=0.5": "application/json",
    }.items():
        answer = server.get("/.env", f"Accept: {accept}")
        assert answer.headers["content-type"].startswith(kind), accept


def test_too_many_logins(server: Nginx) -> None:
    answers = [server.ask(request("POST", "/auth/login", body=b"")) for _ in range(12)]
    check_html(answers[-1], 429)
    assert answers[-1].headers["retry-after"] == "3"  # 60 s / 20


def test_the_style_sheet_exists_and_the_policy_allows_it(server: Nginx) -> None:
    page = server.get("/.env")
    sheet = re.findall(rb'<link rel="stylesheet" href="([^"]+)">', page.body)[0].decode()
    assert sheet.startswith("/") and "style-src 'self'" in page.headers["content-security-policy"]
    answer = server.get(sheet, host="unknown.example")
    assert answer.status == 200, "the page for unknown hosts has no style"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


def test_head_has_no_body(server: Nginx) -> None:
    answer = server.ask(request("HEAD", "/.env"))
    assert (answer.status, answer.body) == (404, b"")


def test_the_apps_errors_pass_unchanged(server: Nginx) -> None:
    answer = server.get("/own-404")
    assert (answer.status, answer.body) == (404, b"the app's own page\n")
    assert "cache-control" not in answer.headers and "retry-after" not in answer.headers


def test_the_app_is_not_reachable(tmp_path: Path) -> None:
    with nginx(tmp_path, app_port=1) as alone:
        both(alone, "GET /up HTTP/1.1\r\nHost: localhost\r\n{}\r\n", 503)
        assert alone.get("/up").headers["retry-after"] == "5"


def test_the_app_does_not_answer(tmp_path: Path) -> None:
    """All of uWSGI is suspended, as on a machine that hangs; the kernel accepts connections."""
    with echo(tmp_path / "uwsgi") as app, nginx(tmp_path, app.port, STACK_HARAKIRI="1") as front:
        stopped = [*app.processes(), app.process.pid]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            check_json(front.get("/up", "Accept: application/json"), 504)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
