"""Each request is one line of valid JSON without secrets, even if the request is hostile."""

import json
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.nginx import Nginx, nginx, request, stack_behind_nginx
from tests.waiting import wait_until

SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with stack_behind_nginx(tmp_path_factory.mktemp("nginx")) as (front, _):
        yield front


def test_the_fields_of_a_line(server: Nginx) -> None:
    answer = server.ask(request("POST", "/read", "User-Agent: probe/1.0", body=b"x" * 70_000))
    line = server.access("/read")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["method"] == "POST"
    assert line["status"] == 200
    assert line["protocol"] == "HTTP/1.1"
    assert line["scheme"] == "http"
    assert line["host"] == "localhost"
    assert line["client"] == "127.0.0.1"
    assert line["user_agent"] == "probe/1.0"
    assert line["request_bytes"] > 70_000
    assert line["response_bytes"] > len(answer.body)
    assert line["upstream"].startswith("127.0.0.1:")
    assert line["upstream_status"] == "200"
    assert line["time"][:2] == "20" and "T" in line["time"]
    for name in (
        "seconds",
        "upstream_connect_seconds",
        "upstream_header_seconds",
        "upstream_seconds",
    ):
        assert isinstance(line[name], float), name


def test_upstream_times_are_the_apps(server: Nginx) -> None:
    server.get("/sleep?0.3")
    line = server.access("/sleep")
    assert 0.29 < line["upstream_seconds"] <= line["seconds"] + 0.002


def test_nginxs_own_responses_have_no_upstream(server: Nginx) -> None:
    server.ask(request("POST", "/.env", body=b""))
    line = server.access("/.env")
    assert (line["status"], line["method"]) == (404, "POST")
    assert (line["upstream"], line["upstream_seconds"]) == ("", None)


def test_the_health_check_is_not_logged(server: Nginx) -> None:
    server.get("/nginx-health")
    server.get("/after-health")
    server.access("/after-health")
    assert "nginx-health" not in (server.folder / "access.log").read_text()


def test_a_login_is_marked_whichever_limit_refuses_it(tmp_path: Path) -> None:
    """Here the limit of requests in progress does, and logins have none."""
    settings = {"STACK_PREFIX": "/shop", "STACK_LOGIN_PATHS": "/in", "STACK_CLIENT_REQUESTS": "1"}
    marked = {"/shop/in": True, "/shop//in/a": True, "/shop/%69n": True, "/shop/inn": False}
    with (
        socket.create_server(("127.0.0.1", 0)) as app,
        nginx(tmp_path, app.getsockname()[1], **settings, STACK_LOGIN_RATE="0") as front,
        socket.create_connection(("127.0.0.1", front.port)) as waiting,
    ):
        waiting.sendall(request("GET", "/shop/"))
        app.settimeout(20)
        with app.accept()[0]:
            for start, is_login in marked.items():
                for method in ("POST", "GET"):
                    path = f"{start}/{method}"
                    assert front.ask(request(method, path, body=b"")).status == 429
                    assert front.access(path)["login"] == (is_login and method == "POST")


def test_no_secret_is_logged(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, STACK_HOSTS="localhost") as (front, _):
        for host in ("localhost", "refused.example"):
            front.ask(
                request(
                    "POST",
                    f"/sink?token={SECRET}",
                    f"Cookie: session={SECRET}",
                    f"Authorization: Bearer {SECRET}",
                    f"X-CSRFToken: {SECRET}",
                    f"Referer: http://localhost/?code={SECRET}",
                    host=host,
                    body=f"password={SECRET}".encode(),
                )
            )
        # A line is written after the answer, and two processes of nginx write them.
        wait_until(lambda: len(front.lines("/sink")) == 2)
        assert SECRET not in (tmp_path / "access.log").read_text()
        assert SECRET not in front.errors()


HOSTILE = [
    b'GET /quote"s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x","evil":"1\r\n\r\n',
    b"GET /back\\slash HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \\\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \xff\xc3\xed\xa0\x80\r\n\r\n",
    b"GET /tab HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\tb\x01\x1b[31m\x7f\r\n\r\n",
    b'GET /host HTTP/1.1\r\nHost: \xff"<\\\r\n\r\n',
    b'GET /id HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: "},{\r\nUser-Agent: \r\n\r\n',
    b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + b"z" * 9000 + b"\r\n\r\n",
    b"\xff\xfe\x00\x01\r\n\r\n",
    b'{"json": "itself"}\r\n\r\n',
    b"GET /\xe2\x80\xa8\xe2\x80\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%0a%0d%22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b'GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: one\r\nUser-Agent: "two\r\n\r\n',
]


def test_hostile_requests_leave_valid_lines(tmp_path: Path) -> None:
    with nginx(tmp_path, app_port=1) as front:
        fields = None
        for number, message in enumerate(HOSTILE, start=1):
            front.ask(message)
            lines = wait_until(
                lambda n=number: len(found := log(front).splitlines()) == n and found
            )
            raw = lines[-1]
            line = json.loads(raw.decode("utf-8"))
            fields = fields or set(line)
            assert set(line) == fields, "a client has added a field"
            assert len(raw) < 4096
        assert line["user_agent"] in ("one", 'one, "two')


def log(front: Nginx) -> bytes:
    return (front.folder / "access.log").read_bytes()


def test_a_program_that_counts_lines_gets_one_for_each_request(tmp_path: Path) -> None:
    """Text of the client cannot imitate a field, and the answers do not wait for the program."""
    with (
        tempfile.TemporaryDirectory() as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program,
    ):
        program.bind(f"{short}/log.sock")
        program.settimeout(10)
        with nginx(tmp_path, 1, NGINX_LOG_SOCKET=f"{short}/log.sock") as front:
            front.ask(request("GET", '/.env?","status":500,"seconds":9'))
            front.ask(request("POST", '/.env","status":500', body=b""))
            # Two processes of nginx may write them, in either order.
            lines = [program.recv(65536).decode() for _ in range(2)]
            lines.sort(key=lambda line: line.partition("nginx: ")[2])
            program.close()
            assert front.get("/.env").status == 404
    for line, method in zip(lines, ("GET", "POST"), strict=True):
        assert line.endswith("\n")
        assert f'nginx: "method":"{method}","path":"/.env' in line
        assert '","login":false,"status":' in line
        assert re.findall(r'"status":(\d+)', line) == ["404"]
