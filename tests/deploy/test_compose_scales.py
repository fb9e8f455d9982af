"""`docker compose up --scale app=2` after `make up` adds a container and recreates none."""

import os
import subprocess
from collections.abc import Callable

import pytest

from stack import ports
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.waiting import wait_until
from toggles.demo import DEMO_NAME

pytestmark = pytest.mark.containers


def test_status_and_reload_know_every_replica(
    another: Callable[..., ComposeRuntime], capfd: pytest.CaptureFixture[str]
) -> None:
    # STACK_BIND as `make up` gives it.
    copy = another(STACK_PORT=str(ports.free()), STACK_BIND="127.0.0.1", STACK_SOCKET="tcp")
    copy.up()
    before = {container.id for container in copy.replicas()}
    given = ("PATH", "HOME", "STACK_NAME", "STACK_PORT", "STACK_SOCKET", "IMAGE_NAME",
             "DOCKER_HOST")  # fmt: skip
    environ = {name: copy.environ[name] for name in given if name in copy.environ}
    subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, "up", "--detach", "--no-build",
         "--wait", "--scale", "app=2"],
        cwd=CHECKOUT, env=environ, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    after = {container.id for container in copy.replicas()}
    assert before < after
    assert len(after) == 4

    lines = copy.status()
    assert [line.service for line in lines] == ["nginx", "app", "app", "redis"]
    assert all(line.healthy for line in lines)
    wait_until(copy.is_up)
    copy.reload()
    assert capfd.readouterr().out.count("uwsgi/reload: generation 2 serves") == 2
    # Without make and without STACK_DEMO.
    users = copy.compose("exec", "-T", "app", "flask", "--app", "app.wsgi", "user", "list")
    assert DEMO_NAME in users
