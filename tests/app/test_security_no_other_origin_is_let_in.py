"""No response has a CORS header, so no other origin can read one."""

import re
from pathlib import Path

import pytest

from tests.people.in_process import Browser, admin, make_app
from tests.servers.nginx import request, stack_behind_nginx

ORIGINS = ["https://evil.example", "null", "http://localhost", "https://localhost.evil.example"]


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis, STACK_WORKLOAD="on")


def assert_closed(headers):
    assert not [name for name in headers if name.lower().startswith("access-control-")], headers


@pytest.mark.parametrize("origin", ORIGINS)
def test_every_view_of_the_app(app, origin):
    root, _ = admin(app)
    paths = {re.sub("<[^>]+>", "0" * 16, rule.rule) for rule in app.url_map.iter_rules()}
    assert len(paths) >= 17
    for path in paths:
        for person in (root, Browser(app)):
            assert_closed(person.get(path, Origin=origin).headers.keys())
        asked = root.client.options(
            path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert_closed(asked.headers.keys())


def test_nginx_adds_none(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path) as (server, _):
        for method in ("GET", "OPTIONS"):
            for path in ("/up", "/nginx-health", "/metrics"):
                asked = request(method, path, f"Origin: {ORIGINS[0]}")
                assert_closed(server.ask(asked).headers)
