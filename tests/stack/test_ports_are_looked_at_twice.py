"""A port that is taken for a moment is free; one that stays taken is refused by its name."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from stack import ports
from stack.errors import StackError


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_port_that_is_let_go_soon_is_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    threading.Thread(target=lambda: (time.sleep(0.08), listener.close())).start()
    ports.require("127.0.0.1", port, "STACK_PORT")


def test_a_port_that_stays_taken_is_refused(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(StackError, match=rf"port {port} is taken .*pid \d+"):
        ports.require("127.0.0.1", port, "STACK_PORT")
