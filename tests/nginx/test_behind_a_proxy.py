"""Client address, scheme and host come from trusted proxies, and from nobody else."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.foreign_apps import https_only
from tests.servers import proxies
from tests.servers.nginx import Answer, Nginx, ask, nginx, request, stack_behind_nginx
from tests.servers.proxies import Proxy, proxy

APP = Path(https_only.__file__).read_text()
CLIENT = "198.51.100.7"
TRUSTING = {
    "STACK_TRUSTED_PROXIES": f"{proxies.ADDRESS},fd00::/8",
    "STACK_HOSTS": "shop.example.org,localhost",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    settings = TRUSTING | {"STACK_LOGIN_RATE": "1"}
    with stack_behind_nginx(tmp_path_factory.mktemp("stack"), APP, **settings) as (server, _):
        yield server


def proxied(server: Nginx, path: str, *headers: str, host: str = "localhost") -> Answer:
    """Ask from the address of the trusted proxy."""
    return server.get(path, *headers, host=host, source=proxies.ADDRESS)


def forwarded(
    address: str = CLIENT, scheme: str = "https", host: str = "shop.example.org"
) -> list[str]:
    return [
        f"X-Forwarded-For: {address}", f"X-Forwarded-Proto: {scheme}", f"X-Forwarded-Host: {host}"
    ]  # fmt: skip


def test_the_app_the_log_and_hsts_follow(server: Nginx) -> None:
    answer = proxied(server, "/followed", *forwarded(), host="10.1.2.3:8080")
    assert answer.json() == {"address": CLIENT, "scheme": "https", "host": "shop.example.org"}
    assert "max-age" in answer.headers["strict-transport-security"]
    line = server.access("/followed")
    assert (line["client"], line["scheme"]) == (CLIENT, "https")
    assert line["host"] == "shop.example.org"


def test_without_the_headers_the_connection_counts(server: Nginx) -> None:
    seen = proxied(server, "/up").json()
    assert seen == {"address": proxies.ADDRESS, "scheme": "http", "host": "localhost"}


@pytest.mark.parametrize(
    ("list_", "client"),
    [
        (f"6.6.6.6, {CLIENT}", CLIENT),  # the client has written the first one
        (f"6.6.6.6, {CLIENT}, fd00::9", CLIENT),  # two proxies of ours
        ("2001:db8::7", "2001:db8::7"),
        (f"{CLIENT}:4711", CLIENT),
        ("nonsense", proxies.ADDRESS),
    ],
)
def test_the_last_address_that_is_no_proxy_counts(server: Nginx, list_: str, client: str) -> None:
    assert proxied(server, "/up", f"X-Forwarded-For: {list_}").json()["address"] == client


@pytest.mark.parametrize(
    ("scheme", "seen"),
    [("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("https, http", "http"),
     ("javascript", "http"), ("\xff", "http"), ("", "http")],
)  # fmt: skip
def test_schemes(server: Nginx, scheme: str, seen: str) -> None:
    assert proxied(server, "/up", f"X-Forwarded-Proto: {scheme}").json()["scheme"] == seen


@pytest.mark.parametrize(
    ("host", "status"),
    [("shop.example.org:8443", 200), ("evil.example, shop.example.org", 200),
     ("evil.example", 421), ("shop.example.org, evil.example", 421), ("<script>", 400),
     ("shop.example.org:99999", 400), ("192.0.2.1", 421)],
)  # fmt: skip
def test_the_forwarded_host_is_checked(server: Nginx, host: str, status: int) -> None:
    answer = proxied(server, "/up", f"X-Forwarded-Host: {host}", host="stack.internal")
    assert answer.status == status
    if status == 200:
        assert answer.json()["host"] == host.rpartition(" ")[2]


def test_each_client_has_a_login_limit_of_its_own(server: Nginx) -> None:
    def post(address: str) -> int:
        message = request("POST", "/auth/login", *forwarded(address), body=b"")
        return server.ask(message, source=proxies.ADDRESS).status

    assert {post("203.0.113.1") for _ in range(15)} == {200, 429}
    assert post("203.0.113.2") == 200


def test_headers_of_others_change_nothing(server: Nginx) -> None:
    seen = server.get("/up", *forwarded()).json()
    assert seen == {"address": "127.0.0.1", "scheme": "http", "host": "localhost"}
    assert server.get("/up", *forwarded(), host="stack.internal").status == 421
    assert "strict-transport-security" not in server.get("/of-others", *forwarded()).headers
    assert server.access("/of-others")["client"] == "127.0.0.1"


@pytest.fixture(scope="module")
def front(server: Nginx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """An nginx and an HAProxy that end TLS in front of `server`."""
    folder, target = tmp_path_factory.mktemp("front"), f"127.0.0.1:{server.port}"
    with (
        proxy(folder / "n", proxies.NGINX, target=target, scheme="http") as in_nginx,
        proxy(folder / "h", proxies.HAPROXY_HTTP, target=target) as in_haproxy,
    ):
        yield {"nginx": in_nginx, "haproxy": in_haproxy}


def through(front: Proxy, *headers: str, path: str = "/page", **how: Any) -> Answer:
    port = front.https if how.get("tls") else front.http
    return ask(port, request("GET", path, *headers, host="shop.example.org"), **how)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_https_only_app_behind_tls_in_front(
    front: dict[str, Proxy], name: str, address: str
) -> None:
    answer = through(front[name], tls=True, address=address)
    assert answer.json() == {"address": address, "scheme": "https", "host": "shop.example.org"}
    plain = through(front[name], "X-Forwarded-Proto: https", address=address)
    assert (plain.status, plain.headers["location"]) == (301, "https://shop.example.org/page")


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_client_forges_nothing_through_a_proxy(front: dict[str, Proxy], name: str) -> None:
    seen = through(front[name], *forwarded("6.6.6.6", host="evil.example"), path="/up").json()
    assert seen["address"] == "127.0.0.1"
    assert seen["scheme"] == "http"
    assert seen["host"] == "shop.example.org"


def test_tls_on_redirects_http_and_not_what_was_https_in_front(tmp_path: Path) -> None:
    settings = TRUSTING | {"STACK_TLS": "on"}
    with (
        stack_behind_nginx(tmp_path, APP, **settings) as (server, _),
        proxy(
            tmp_path / "f", proxies.NGINX, target=f"127.0.0.1:{server.port}", scheme="http"
        ) as front,
        proxy(
            tmp_path / "t", proxies.NGINX, target=f"127.0.0.1:{server.tls_port}", scheme="https"
        ) as to_tls,
    ):
        for way in (front, to_tls):
            assert through(way, tls=True).json()["scheme"] == "https"
            plain = through(way)
            assert plain.status == 308
            assert plain.headers["location"] == "https://shop.example.org/page"
        direct = server.get("/page", host="shop.example.org")
        assert direct.headers["location"] == "https://shop.example.org:8443/page"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_proxy_protocol(tmp_path: Path, address: str) -> None:
    settings = TRUSTING | {"STACK_TLS": "on", "STACK_PROXY_PROTOCOL": "on"}
    with (
        stack_behind_nginx(tmp_path, APP, **settings) as (server, _),
        proxy(
            tmp_path / "f", proxies.HAPROXY_TCP,
            target=f"127.0.0.1:{server.port}", tls_target=f"127.0.0.1:{server.tls_port}",
        ) as front,
    ):  # fmt: skip
        # The client's own headers pass through such a proxy, and count for nothing.
        answer = through(front, *forwarded("6.6.6.6", "http", "evil"), tls=True, address=address)
        assert answer.json() == {"address": address, "scheme": "https", "host": "shop.example.org"}
        plain = through(front, *forwarded(), address=address)
        assert plain.headers["location"] == "https://shop.example.org/page"
        assert server.get("/up").status in (0, 400), "a connection without the PROXY protocol"


def test_proxy_protocol_after_tls_has_ended_in_front(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, APP, **TRUSTING, STACK_PROXY_PROTOCOL="on") as (server, _):
        for port, scheme in ((443, "https"), (80, "http")):
            head = f"PROXY TCP4 {CLIENT} 192.0.2.1 4711 {port}\r\n".encode()
            message = head + request("GET", "/up", "X-Forwarded-Proto: https")
            seen = server.ask(message, source=proxies.ADDRESS).json()
            assert seen == {"address": CLIENT, "scheme": scheme, "host": "localhost"}
            seen = server.ask(message).json()  # from an address that is not trusted
            assert seen == {"address": "127.0.0.1", "scheme": "http", "host": "localhost"}


def test_the_proxy_may_be_reached_over_ipv6(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        port = free.getsockname()[1]
    settings = {"STACK_TRUSTED_PROXIES": "::1", "NGINX_LISTEN": f"[::1]:{port}"}
    with nginx(tmp_path, 1, **settings) as server:
        server.ask(request("GET", "/six", *forwarded()), address="::1")
        assert server.access("/six")["client"] == CLIENT
