"""Readiness is recognised with TLS, host names and IPv6."""

import socket
import ssl
import urllib.request

import pytest

from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import own_name


def status_of(url: str, host: str) -> int:
    context = ssl._create_unverified_context()
    request = urllib.request.Request(f"{url}/livez", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return answer.status


@pytest.mark.parametrize("hosts", ["", "www.example.org", ".example.org,example.net"])
def test_tls_and_hosts(hosts: str) -> None:
    environ = {"STACK_PORT": "0", "STACK_NAME": own_name(), "STACK_TLS": "on"}
    with LocalRuntime({**environ, "STACK_HOSTS": hosts}) as stack:
        assert stack.address().startswith("https://127.0.0.1:")
        assert stack.is_up()
        assert all(status.healthy for status in stack.status())
        assert status_of(stack.address(), "www.example.org") == 200
        key = stack.run_dir / "secrets" / "tls-key.pem"
        assert key.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("bind", "shown"), [("0.0.0.0", "http://127.0.0.1:"), ("127.0.0.2", "http://127.0.0.2:")]
)
def test_other_addresses(bind: str, shown: str) -> None:
    environ = {"STACK_PORT": "0", "STACK_NAME": own_name(), "STACK_BIND": bind}
    with LocalRuntime(environ) as stack:
        assert stack.address().startswith(shown)
        assert status_of(stack.address(), "localhost") == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    environ = {"STACK_PORT": "0", "STACK_NAME": own_name(), "STACK_BIND": "::1"}
    with LocalRuntime(environ) as stack:
        assert stack.address().startswith("http://[::1]:")
        assert status_of(stack.address(), "localhost") == 200
