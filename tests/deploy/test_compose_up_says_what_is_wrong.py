"""A failed `up` reports the cause and a remedy, and leaves nothing behind."""

import socket
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from tests.deploy.engine import remaining

pytestmark = pytest.mark.containers


def test_a_taken_port(another: Callable[..., ComposeRuntime]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        stack = another(STACK_PORT=str(port))
        with pytest.raises(StackError, match=rf"^port {port} is taken .*STACK_PORT=\d+$"):
            stack.up()
    assert remaining(stack) == []


def test_a_port_that_is_taken_at_the_last_moment(
    another: Callable[..., ComposeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        stack = another(STACK_PORT=str(port))
        monkeypatch.setattr(ComposeRuntime, "_require_ports", lambda self: None)
        with pytest.raises(StackError, match=rf"^port {port} is taken: .*STACK_PORT=\d+$"):
            stack.up()
    assert remaining(stack) == []


def test_a_base_image_that_cannot_be_pulled(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(BASE_IMAGE="localhost:1/no-such-image:ever")
    with pytest.raises(StackError, match=r"no-such-image:ever cannot be pulled .*\.ci/base-image"):
        stack.up()
    assert remaining(stack) == []


def test_an_app_that_cannot_be_imported(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_APP="no_such_module:application")
    with pytest.raises(StackError, match=r"^app does not start: the end of its log") as error:
        stack.up()
    assert "No module named 'no_such_module'" in error.value.log
    assert remaining(stack) == []
