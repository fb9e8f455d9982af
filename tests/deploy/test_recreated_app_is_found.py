"""nginx finds a replaced app container without a reload."""

import time
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker, image_of, inspect
from tests.people.over_http import Person

pytestmark = pytest.mark.containers

# Docker's name server and nginx both cache a name for some seconds.
FOUND_WITHIN_S = 60


def address_of(stack: ComposeRuntime) -> str:
    networks = inspect(stack, "app")["NetworkSettings"]["Networks"]
    return networks[f"{stack.name}_front"]["IPAddress"]


def test_the_new_address_is_resolved(another: Callable[..., ComposeRuntime]) -> None:
    stack = another()
    stack.up()
    nginx = stack.containers()["nginx"]
    old = address_of(stack)

    # Another container takes the old address, so that the new one gets a different address.
    stack.compose("stop", "app")
    network = f"--network={stack.name}_front"
    holder = docker(
        "run", "--detach", "--rm", network, "--entrypoint=sleep", image_of("redis"), "300"
    ).strip()
    try:
        stack.compose("up", "--detach", "--no-build", "--force-recreate", "app")
        assert address_of(stack) != old
        deadline = time.monotonic() + FOUND_WITHIN_S
        while (status := Person(stack.address()).get("/livez").status) != 200:
            assert time.monotonic() < deadline, f"/livez still answers {status}"
            time.sleep(0.2)
        assert stack.containers()["nginx"].started_at == nginx.started_at
    finally:
        docker("rm", "--force", holder)
