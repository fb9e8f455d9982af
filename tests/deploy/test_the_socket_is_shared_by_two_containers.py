"""nginx and the app, under different users, meet at a unix socket that only they mount."""

import json
import urllib.request

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import execute

pytestmark = pytest.mark.containers

SOCKET = "/run/app/uwsgi.sock"


def test_requests_go_through_it(stack: ComposeRuntime) -> None:
    urllib.request.urlopen(f"{stack.address()}/livez?over=socket", timeout=20).close()
    lines = [line for line in stack.log("nginx").splitlines() if '"path":"/livez"' in line]
    assert json.loads(lines[-1])["upstream"] == f"unix:{SOCKET}"


def test_nginx_cannot_replace_it(stack: ComposeRuntime) -> None:
    assert execute(stack, "nginx", f"stat -c %u-%F {SOCKET}").strip() == "10001-socket"
    assert execute(stack, "nginx", f"rm {SOCKET} 2>&1 || true").rstrip().endswith("system")


def test_it_is_memory_of_these_two(stack: ComposeRuntime) -> None:
    for service, expected in (("nginx", "tmpfs"), ("app", "tmpfs"), ("redis", "")):
        mounts = execute(stack, service, "cat /proc/mounts")
        found = [line.split()[2] for line in mounts.splitlines() if " /run/app " in line]
        assert "".join(found) == expected
