"""Two copies side by side share only the images. The second one is started by hand."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from stack import ports
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import inspect, secret_of
from tests.people.over_http import Person, walk_through
from tests.servers.containers import NAME

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def by_hand(stack: ComposeRuntime) -> Iterator[ComposeRuntime]:
    """A copy started with `docker compose up`, as without make and Python."""
    name = f"{NAME}-by-hand"
    settings = {"STACK_NAME": name, "STACK_PORT": str(ports.free()), "IMAGE_NAME": NAME}
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
    compose = ["docker", "compose"]
    try:
        subprocess.run(
            [*compose, "up", "--detach", "--wait", "--no-build"],
            cwd=CHECKOUT,
            env=environ,
            check=True,
            capture_output=True,
            timeout=120,
        )
        yield ComposeRuntime(settings)
    finally:
        subprocess.run(
            [*compose, "down", "--volumes"], cwd=CHECKOUT, env=environ, check=True, timeout=120
        )


def test_both_serve(stack: ComposeRuntime, by_hand: ComposeRuntime) -> None:
    assert {line.healthy for line in by_hand.status()} == {True}, (
        "a health check failed in spite of --wait"
    )
    walk_through(by_hand.address())
    walk_through(stack.address())


def test_they_have_separate_accounts(stack: ComposeRuntime, by_hand: ComposeRuntime) -> None:
    account = {"name": "only-here", "password": "an-uncommon-password"}
    here, there = Person(stack.address()), Person(by_hand.address())
    repeated = account["password"]
    assert here.fill_in("/auth/register", **account, repeated=repeated).status == 200
    assert here.get("/auth/whoami").status == 200
    there.cookies = here.cookies
    assert there.get("/auth/whoami", Accept="application/json").status == 401
    assert Person(by_hand.address()).fill_in("/auth/login", **account).status == 401
    assert Person(stack.address()).fill_in("/auth/login", **account).status == 200


def test_they_have_separate_networks_volumes_and_secrets(
    stack: ComposeRuntime, by_hand: ComposeRuntime
) -> None:
    seen = []
    for copy in (stack, by_hand):
        found = set()
        for service in copy.containers():
            answer = inspect(copy, service)
            found |= {mount["Name"] for mount in answer["Mounts"] if mount["Type"] == "volume"}
            found |= {n["NetworkID"] for n in answer["NetworkSettings"]["Networks"].values()}
        found |= {secret_of(copy, "redis"), secret_of(copy, "app")}
        assert len(found) == 10, "five volumes, three networks, two secrets"
        seen.append(found)
    assert not seen[0] & seen[1]
