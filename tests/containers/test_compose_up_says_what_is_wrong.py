"""What keeps `up` from succeeding is told with its remedy, and nothing is left behind."""

import socket
from collections.abc import Callable

import pytest

from stack.compose import ComposeRuntime
from stack.errors import StackError
from tests.containers.engine import docker

pytestmark = pytest.mark.containers


def nothing_is_left(stack: ComposeRuntime) -> bool:
    mine = f"label=com.docker.compose.project={stack.name}"
    kinds = ("container", "network", "volume")
    return not any(docker(kind, "ls", "--quiet", "--filter", mine) for kind in kinds)


def test_a_taken_port(another: Callable[..., ComposeRuntime]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        stack = another(STACK_PORT=str(port))
        with pytest.raises(StackError, match=rf"^port {port} is taken .*STACK_PORT=\d+$"):
            stack.up()
    assert nothing_is_left(stack)


def test_a_port_that_is_taken_in_the_last_moment(
    another: Callable[..., ComposeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        stack = another(STACK_PORT=str(port))
        monkeypatch.setattr(ComposeRuntime, "_require_ports", lambda self: None)
        with pytest.raises(StackError, match=rf"^port {port} is taken: .*STACK_PORT=\d+$"):
            stack.up()
    assert nothing_is_left(stack)


def test_a_base_image_that_cannot_be_pulled(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(BASE_IMAGE="localhost:1/no-such-image:ever")
    with pytest.raises(StackError, match=r"no-such-image:ever cannot be pulled .*make base-image"):
        stack.up()
    assert nothing_is_left(stack)


def test_an_app_that_cannot_be_imported(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_APP="no_such_module:application")
    with pytest.raises(StackError, match=r"^app does not start: the lines above") as error:
        stack.up()
    assert "No module named 'no_such_module'" in error.value.log
    assert nothing_is_left(stack)
