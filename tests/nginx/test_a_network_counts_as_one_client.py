"""nginx's limits by address count an IPv6 /64 as one client, and each IPv4 address for itself."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nginx.test_limits_hold_in_sum import refused, slow
from tests.servers import proxies
from tests.servers.nginx import Nginx, ask, nginx, request
from tests.waiting import wait_until

# A line feed (0a) ends a line of a regular expression, and a NUL ends a string of C.
SAME = [
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
    ("2001:db8:0:a0a::", "2001:db8:0:a0a:a0a:a0a:a0a:a0a"),
    ("203.0.113.1", "::ffff:203.0.113.1"),
]
OTHERS = [
    ("2001:db8:1:2::1", "2001:db8:1:3::1"),
    ("2001:db8:0:a0a::", "2001:db8:0:a0b::"),
    ("203.0.113.1", "203.0.113.2"),
    ("10.10.10.10", "10.10.10.0"),
    ("::ffff:203.0.113.1", "::ffff:203.0.113.2"),
    ("::ffff:10.10.10.10", "::ffff:10.10.10.0"),
]
PAIRS = pytest.mark.parametrize(
    ("one", "other", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in OTHERS]
)
SETTINGS = {
    "STACK_TRUSTED_PROXIES": proxies.ADDRESS,
    "STACK_LOGIN_RATE": "1",
    "STACK_CLIENT_REQUESTS": "6",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    """Without an app: a request that passes the limits is a 503."""
    with nginx(tmp_path, app_port=1, **SETTINGS) as server:
        yield server


def of(client: str, method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    return request(method, path, f"X-Forwarded-For: {client}", *headers, body=body)


@PAIRS
def test_logins(server: Nginx, one: str, other: str, same: bool) -> None:
    def login(client: str) -> int:
        return server.ask(
            of(client, "POST", "/auth/login", body=b""), source=proxies.ADDRESS
        ).status

    assert [login(one) for _ in range(12)] == [503] * 11 + [429]
    assert login(other) == (429 if same else 503)


@PAIRS
def test_requests_in_progress(tmp_path: Path, one: str, other: str, same: bool) -> None:
    """The app accepts connections and does not answer."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=64) as app,
        nginx(tmp_path, app.getsockname()[1], **SETTINGS) as server,
        ExitStack() as opened,
    ):
        app.settimeout(20)
        gets = slow(server, opened, 9, of(one, "GET", "/"), source=proxies.ADDRESS)
        wait_until(lambda: refused(gets) == 3, 20)
        for _ in range(6):
            opened.enter_context(app.accept()[0])
        more = slow(server, opened, 1, of(other, "GET", "/"), source=proxies.ADDRESS)
        if same:
            wait_until(lambda: refused(more) == 1, 20)
        else:
            opened.enter_context(app.accept()[0])


@PAIRS
def test_bodies_in_progress(server: Nginx, one: str, other: str, same: bool) -> None:
    def post(client: str) -> int:
        return server.ask(of(client, "POST", "/", body=b"x"), source=proxies.ADDRESS).status

    with ExitStack() as opened:
        body = of(one, "POST", "/", "Content-Length: 60")
        bodies = slow(server, opened, 9, body, source=proxies.ADDRESS)
        wait_until(lambda: refused(bodies) == 7, 20)
        assert post(one) == 429
        assert post(other) == (429 if same else 503)


@PAIRS
def test_uploads(tmp_path: Path, one: str, other: str, same: bool) -> None:
    settings = SETTINGS | {"STACK_CLIENT_REQUESTS": "0"}
    with nginx(tmp_path, app_port=1, **settings) as server, ExitStack() as opened:
        limit = of_one_client(tmp_path)
        upload = of(one, "POST", "/", "Content-Length: 900000")
        uploads = slow(server, opened, limit + 3, upload, source=proxies.ADDRESS)
        wait_until(lambda: refused(uploads) == 3, 20)
        large = of(other, "POST", "/", body=b"x" * 20_000)
        assert server.ask(large, source=proxies.ADDRESS).status == (429 if same else 503)


def of_one_client(folder: Path) -> int:
    text = (folder / "run/conf/rendered/limits.conf").read_text()
    return int(text.partition("limit_conn client_uploads ")[2].partition(";")[0])


def test_a_client_without_a_proxy(tmp_path: Path) -> None:
    """Its address comes from the connection."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        port = free.getsockname()[1]
    with nginx(tmp_path, 1, STACK_LOGIN_RATE="1", NGINX_LISTEN=f"[::1]:{port}"):
        login = request("POST", "/auth/login", body=b"")
        assert [ask(port, login, address="::1").status for _ in range(12)] == [503] * 11 + [429]
