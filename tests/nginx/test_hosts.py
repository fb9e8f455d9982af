"""Only our own host names reach the app; malformed ones are refused with any STACK_HOSTS."""

from collections.abc import Iterator

import pytest

from tests.servers.nginx import Nginx, request, stack_behind_nginx

MALFORMED = [
    "[::1",
    "::1]",
    "<script>",
    "a b",
    "-example.org",
    "example.org-",
    "exa..mple.org",
    ".example.org",
    "..",
    "*",
    "a/b",
    "user@example.org",
    "example.org,evil.example",
    "$host",
    "localhost:evil",
    "localhost:",
    "localhost:0",
    "localhost:65536",
    "localhost:80<script>",
    "localhost:-1",
    "[::1]evil",
    "%00",
    "é.example",
    "\xff",
    "x" * 64,
    ".".join(["x" * 50] * 6),
    "",
]


@pytest.fixture(scope="module")
def any_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with stack_behind_nginx(tmp_path_factory.mktemp("any")) as (server, _):
        yield server


@pytest.fixture(scope="module")
def our_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("ours")
    # The fixture requests "localhost" until the stack answers.
    hosts = "localhost,Shop.example.org, .example.net"
    with stack_behind_nginx(folder, STACK_HOSTS=hosts) as (server, _):
        yield server


@pytest.mark.parametrize("host", MALFORMED)
def test_malformed_hosts_are_bad_requests(any_host: Nginx, our_hosts: Nginx, host: str) -> None:
    for server in (any_host, our_hosts):
        assert server.get("/up", host=host).status == 400


def test_by_default_every_well_formed_host_is_accepted(any_host: Nginx) -> None:
    for host in ("example.org", "a", "a_b.example", "192.0.2.1:65535", "[::1]", "[fd00::1]:80"):
        answer = any_host.get("/up", host=host)
        assert (answer.status, answer.json()["HTTP_HOST"]) == (200, host)


def test_with_stack_hosts_only_these_are_accepted(our_hosts: Nginx) -> None:
    for host in ("localhost", "shop.example.org:8080", "example.net", "a.b.EXAMPLE.net."):
        assert our_hosts.get("/up", host=host).status == 200
    for host in ("example.org", "x.shop.example.org", "badexample.net", "192.0.2.1", "[::1]"):
        answer = our_hosts.get("/up", host=host)
        assert answer.status == 421
        assert b"Unknown host" in answer.body


def test_the_app_sees_the_name_in_one_spelling(our_hosts: Nginx) -> None:
    answer = our_hosts.get("/up", host="SHOP.Example.ORG.:8080")
    assert answer.json()["HTTP_HOST"] == "shop.example.org:8080"
    assert answer.json()["SERVER_NAME"] == "shop.example.org"


def test_the_host_of_the_request_line_overrides_the_header(our_hosts: Nginx) -> None:
    absolute = "GET http://{}/up HTTP/1.1\r\nHost: {}\r\n\r\n"
    ours = our_hosts.ask(absolute.format("shop.example.org", "evil.example").encode())
    assert ours.json()["HTTP_HOST"] == "shop.example.org"
    assert our_hosts.ask(absolute.format("evil.example", "localhost").encode()).status == 421


def test_no_host_and_two_hosts_are_bad_requests(any_host: Nginx) -> None:
    assert any_host.ask(b"GET /up HTTP/1.1\r\n\r\n").status == 400
    assert any_host.ask(b"GET /up HTTP/1.0\r\n\r\n").status == 400
    assert any_host.get("/up", "Host: evil.example").status == 400


def test_the_health_check_needs_no_host_name(our_hosts: Nginx) -> None:
    for head in (b"GET /nginx-health HTTP/1.0\r\n\r\n", request("GET", "/nginx-health", host="x")):
        answer = our_hosts.ask(head)
        assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("host", ["192.0.2.1:8080", "[fd00::1]"])
def test_probes_may_have_an_address_as_their_host(our_hosts: Nginx, host: str) -> None:
    """A load balancer asks each of its targets by address."""
    for path in ("/livez", "/readyz"):
        assert our_hosts.get(path, host=host).json()["HTTP_HOST"] == host
        assert our_hosts.get(path, host="evil.example").status == 421
    for path in ("/", "/readyz/", "/livezz", "/static/../up"):
        assert our_hosts.get(path, host=host).status == 421
