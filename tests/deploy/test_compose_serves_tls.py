"""STACK_TLS=on in containers: HTTPS, HTTP/2, and a certificate that survives the container."""

import ssl
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.nginx.test_http2 import curl, hundred_streams
from tests.people.over_http import Person, walk_through

pytestmark = pytest.mark.containers


def certificate(stack: ComposeRuntime) -> str:
    return ssl.get_server_certificate(("127.0.0.1", int(stack.toggles["STACK_TLS_PORT"])))


def test_a_visit_over_https(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_TLS="on")
    stack.up()
    assert stack.address() == f"https://127.0.0.1:{stack.toggles['STACK_TLS_PORT']}"
    walk_through(stack.address())

    plain = Person(f"http://127.0.0.1:{stack.toggles['STACK_PORT']}").get("/auth/login")
    assert plain.url == f"{stack.address()}/auth/login", "no redirect to HTTPS"
    assert "strict-transport-security" in plain.headers

    first = certificate(stack)
    stack.down()
    stack.up()
    assert certificate(stack) == first, "a new certificate: browsers would warn again"


@pytest.mark.http2
def test_http2(another: Callable[..., ComposeRuntime]) -> None:
    """The image's nginx has it switched on in another way than that of some hosts."""
    stack = another(STACK_TLS="on")
    stack.up()
    port = int(stack.toggles["STACK_TLS_PORT"])
    assert curl(port, "/livez") == "2 200"
    assert curl(port, "/livez", http="--http1.1") == "1.1 200"
    assert hundred_streams(port, "/livez") == "600 2xx, 0 3xx, 0 4xx, 0 5xx"
    assert "[warn]" not in stack.log("nginx")
