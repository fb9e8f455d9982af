"""Every response has the security headers and a request id, each once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.nginx import Answer, Nginx, nginx, request, stack_behind_nginx

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
TOO_MANY_HEADERS = [f"X-{number}: {'x' * 50}" for number in range(500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "static").mkdir()
    (folder / "static" / "style.0123456789ab.css").write_text("a{}")
    with stack_behind_nginx(folder, STACK_HOSTS="localhost", STACK_LOGIN_RATE="1") as (front, _):
        yield front


def check(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert ALWAYS.items() <= answer.headers.items(), answer.headers
    policy = answer.headers["content-security-policy"]
    for part in (
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert "camera=()" in answer.headers["permissions-policy"]
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["server"] == "nginx", "the version is shown"
    assert "strict-transport-security" not in answer.headers
    assert not answer.duplicates


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (request("GET", "/up"), 200),
        (request("HEAD", "/up"), 200),
        (request("GET", "/own-404"), 404),
        (request("POST", "/refuse", body=b"x"), 422),
        (request("GET", "/static/style.0123456789ab.css"), 200),
        (request("POST", "/static/style.0123456789ab.css", body=b""), 405),
        (request("GET", "/nginx-health"), 200),
        (request("GET", "/nginx-error.css"), 200),
        (request("GET", "/nginx-error.html"), 404),
        (request("GET", "/.env"), 404),
        (request("GET", "/metrics"), 404),
        (request("TRACE", "/up"), 405),
        (request("GET", "/up", host="other.example"), 421),
        (request("GET", "/up", host="[::1"), 400),
        (request("GET", "/" + "x" * 30_000), 414),
        (request("GET", "/up", *TOO_MANY_HEADERS), 431),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:30].decode(),
)
def test_headers(server: Nginx, message: bytes, status: int) -> None:
    check(server.ask(message), status)


def test_headers_on_429(server: Nginx) -> None:
    answers = [server.ask(request("POST", "/auth/login", body=b"")) for _ in range(12)]
    check(answers[0], 200)
    check(answers[-1], 429)


def test_headers_on_503(tmp_path: Path) -> None:
    with nginx(tmp_path, app_port=1) as alone:
        check(alone.get("/"), 503)


def test_the_apps_headers_take_precedence(server: Nginx) -> None:
    answer = server.get("/own-headers")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'; style-src 'u")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not answer.duplicates


def test_the_policy_is_a_setting_and_the_apps_own_goes_first(tmp_path: Path) -> None:
    policy = "default-src 'self' 'unsafe-inline' https://cdn.example.org; frame-ancestors 'none'"
    (tmp_path / "static").mkdir()
    with stack_behind_nginx(tmp_path, STACK_CSP=policy) as (front, _):
        for path in ("/up", "/nginx-health", "/.env"):
            assert front.get(path).headers["content-security-policy"] == policy
        own = front.get("/own-headers").headers["content-security-policy"]
        assert own == "default-src 'self'; style-src 'unsafe-inline'"
