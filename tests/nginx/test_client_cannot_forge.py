"""Address, scheme, host and request id come from nginx; clients cannot forge them."""

import re
from collections.abc import Iterator

import pytest

from tests.servers.nginx import Nginx, stack_behind_nginx

FORGED = "198.51.100.66"
HEADERS = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Scheme",
    "X-Url-Scheme",
    "X-Script-Name",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "Front-End-Https",
    "Proxy",
    "X-Request-ID",
    "X_Forwarded_For",
    "X_Forwarded_Proto",
    "X_Request_ID",
    "REMOTE_ADDR",
    "UWSGI_SCHEME",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with stack_behind_nginx(tmp_path_factory.mktemp("nginx")) as (nginx, _):
        yield nginx


@pytest.mark.parametrize("name", HEADERS)
def test_the_header_is_replaced_or_removed(server: Nginx, name: str) -> None:
    for spelling in (name, name.lower(), name.upper()):
        seen = server.get("/up", f"{spelling}: {FORGED}", f"{spelling}: {FORGED}").json()
        assert FORGED not in str(seen)
        assert seen["REMOTE_ADDR"] == "127.0.0.1"
        assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"


def test_the_scheme(server: Nginx) -> None:
    for header in (
        "X-Forwarded-Proto: https",
        "X-Forwarded-Proto: javascript",
        "X-Forwarded-SSL: on",
        "X-Forwarded-SSL: 1",
        "HTTPS: on",
        "Front-End-Https: on",
    ):
        seen = server.get("/up", header).json()
        assert seen["wsgi.url_scheme"] == "http", header
        assert seen["HTTP_X_FORWARDED_PROTO"] == "http"
        assert "HTTPS" not in seen


def test_other_headers_pass(server: Nginx) -> None:
    seen = server.get("/up", "X-Of-My-Own: x", "Cookie: a=b", "Authorization: Bearer c").json()
    assert seen["HTTP_X_OF_MY_OWN"] == "x"
    assert seen["HTTP_COOKIE"] == "a=b"
    assert seen["HTTP_AUTHORIZATION"] == "Bearer c"


def test_the_request_id_is_new_each_time_and_the_same_everywhere(server: Nginx) -> None:
    ids = set()
    for number in range(3):
        answer = server.get(f"/id-{number}", "X-Request-ID: client-1234")
        seen, logged = answer.json()["HTTP_X_REQUEST_ID"], server.access(f"/id-{number}")
        assert re.fullmatch("[0-9a-f]{32}", seen)
        assert seen == answer.headers["x-request-id"] == logged["request_id"]
        assert logged["client_request_id"] == "client-1234"
        ids.add(seen)
    assert len(ids) == 3


def test_a_request_id_of_the_app_does_not_double_the_header(server: Nginx) -> None:
    answer = server.get("/own-headers")
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert "x-request-id" not in answer.duplicates


def test_the_path_is_normalised(server: Nginx) -> None:
    for path in ("//a/./x/../b", "/a//b", "/%61/b", "/a/%2e/b"):
        seen = server.get(path + "?q=%2F").json()
        assert seen["PATH_INFO"] == "/a/b", path
        assert seen["REQUEST_URI"] == path + "?q=%2F"
        assert seen["QUERY_STRING"] == "q=%2F"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_context_is_passed_on_and_logged(server: Nginx) -> None:
    assert server.get("/traced", f"traceparent: {TRACE}").json()["HTTP_TRACEPARENT"] == TRACE
    assert server.access("/traced")["traceparent"] == TRACE
    server.get("/untraced")
    assert server.access("/untraced")["traceparent"] == ""


@pytest.mark.parametrize(
    "value",
    [
        "x",
        TRACE.upper(),
        f"{TRACE}-more",
        TRACE.replace("00-", "ff-", 1),
        TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACE.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_a_malformed_one_is_removed(server: Nginx, value: str) -> None:
    path = f"/malformed-{abs(hash(value))}"
    assert "HTTP_TRACEPARENT" not in server.get(path, f"traceparent: {value}").json()
    assert server.access(path)["traceparent"] == ""


def test_of_two_none_is_passed_on(server: Nginx) -> None:
    other = TRACE.replace("4bf", "abc")
    seen = server.get("/two-traces", f"traceparent: {TRACE}", f"traceparent: {other}").json()
    assert seen.get("HTTP_TRACEPARENT", TRACE) == TRACE
