"""A flood of logins from one address gets 429 with Retry-After; other requests pass."""

import time
from pathlib import Path

import pytest

from tests.servers.nginx import Nginx, nginx, request, stack_behind_nginx

BURST = 10
LIMITED = [
    "/auth/login",
    "/auth/register",
    "/auth/reauthenticate",
    "/auth/password",
    "//auth/./login?next=/",  # the app reads it as /auth/login
]


def flood(server: Nginx, method: str, path: str, number: int = BURST + 3) -> list[int]:
    message = request(method, path, body=b"" if method == "POST" else None)
    return [server.ask(message).status for _ in range(number)]


def test_posts_beyond_the_burst_are_refused(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, STACK_LOGIN_RATE="1") as (server, _):
        assert flood(server, "POST", "/auth/login", BURST) == [200] * BURST
        assert flood(server, "POST", "/auth/register", 1) == [200]
        for path in LIMITED:
            refused = server.ask(request("POST", path, body=b""))
            assert (refused.status, refused.headers["retry-after"]) == (429, "60"), path
        for method, other in (
            ("GET", "/auth/login"),
            ("POST", "/auth/logout"),
            ("POST", "/posts/"),
            ("GET", "/"),
        ):
            assert set(flood(server, method, other)) == {200}


@pytest.mark.parametrize("path", LIMITED)
def test_each_login_path_is_limited(tmp_path: Path, path: str) -> None:
    """With nginx alone: a request that passes the limit is a 503."""
    with nginx(tmp_path, app_port=1, STACK_LOGIN_RATE="1") as server:
        assert flood(server, "POST", path) == [503] * (BURST + 1) + [429] * 2


def test_a_client_that_waits_for_retry_after_passes(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, STACK_LOGIN_RATE="60") as (server, _):
        login = request("POST", "/auth/login", body=b"")
        answers = [server.ask(login) for _ in range(30)]
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.headers["retry-after"] == "1"
        time.sleep(1)
        assert server.ask(login).status == 200


def test_the_paths_of_another_app(tmp_path: Path) -> None:
    settings = {"STACK_LOGIN_RATE": "1", "STACK_LOGIN_PATHS": "/in,/a.b/reset"}
    settings |= {"STACK_PREFIX": "/shop", "STACK_MERGE_SLASHES": "off"}
    with nginx(tmp_path, app_port=1, **settings) as server:
        assert flood(server, "POST", "/shop/in") == [503] * (BURST + 1) + [429] * 2
        for path in ("/shop//in", "/shop/in/", "/shop/a.b//reset", "/shop/%69n"):
            assert flood(server, "POST", path, 1) == [429], path
        for path in ("/shop/inn", "/shop/axb/reset", "/shop/auth/login"):
            assert flood(server, "POST", path, 1) == [503], path


def test_without_login_paths_nothing_is_limited(tmp_path: Path) -> None:
    with nginx(tmp_path, app_port=1, STACK_LOGIN_RATE="1", STACK_LOGIN_PATHS="") as server:
        for path in ("/", "/auth/login"):
            assert set(flood(server, "POST", path)) == {503}


def test_zero_is_no_limit(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, STACK_LOGIN_RATE="0") as (server, _):
        assert set(flood(server, "POST", "/auth/login", 60)) == {200}
