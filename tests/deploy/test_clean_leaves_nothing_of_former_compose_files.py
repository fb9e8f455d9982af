"""`make clean` deletes what belonged to a Compose file that `.env` does not name any more."""

from __future__ import annotations

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker
from tests.stack.checkouts import own_name

pytestmark = pytest.mark.containers


def made_for(name: str) -> list[list[str]]:
    """Make a volume and a network as Compose labels them; return the commands that show them."""
    label = f"com.docker.compose.project={name}"
    for kind in ("volume", "network"):
        docker(kind, "create", "--label", label, f"{name}_left")
    return [[kind, "ls", "--quiet", "--filter", f"label={label}"] for kind in ("volume", "network")]


def test_only_what_is_its_own() -> None:
    mine, other = own_name(), own_name()
    own, foreign = made_for(mine), made_for(other)
    try:
        ComposeRuntime({"STACK_NAME": mine}).remove_leftovers()
        assert [docker(*command) for command in own] == ["", ""]
        assert all(docker(*command) for command in foreign)
    finally:
        ComposeRuntime({"STACK_NAME": other}).remove_leftovers()
    assert [docker(*command) for command in foreign] == ["", ""]
