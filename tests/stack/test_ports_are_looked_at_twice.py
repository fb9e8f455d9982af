"""A port that is taken for a moment counts as free; one that stays taken is refused, by number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stack import ports
from stack.errors import StackError


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_port_that_is_let_go_soon_is_free(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    meanwhile = SimpleNamespace(sleep=lambda _: listener.close())
    monkeypatch.setattr(ports, "time", meanwhile)
    ports.require("127.0.0.1", port, "STACK_PORT")


def test_a_port_that_stays_taken_is_refused(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(StackError, match=rf"port {port} is taken .*pid \d+"):
        ports.require("127.0.0.1", port, "STACK_PORT")


def test_the_owner_is_named_although_it_has_closed_another_descriptor(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors = f"/proc/{os.getpid()}/fd/"
    follow = Path.readlink

    def readlink(link: Path) -> Path:
        if str(link).startswith(descriptors) and link.name != str(listener.fileno()):
            raise FileNotFoundError(link)
        return follow(link)

    monkeypatch.setattr(Path, "readlink", readlink)
    port = listener.getsockname()[1]
    with pytest.raises(StackError, match=rf"port {port} is taken .*pid {os.getpid()}\)"):
        ports.require("127.0.0.1", port, "STACK_PORT")


def test_no_two_processes_get_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = "from stack import ports; ports._INTERNAL = range({0}, {0} + 20)\n"
    ask += "print(ports.free(), flush=True); input()"
    start = ports.free()
    monkeypatch.setattr(ports, "_INTERNAL", range(start, start + 20))
    others = [
        subprocess.Popen(
            [sys.executable, "-c", ask.format(start)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    try:
        theirs = {int(other.stdout.readline()) for other in others if other.stdout}
        ours = {ports.free() for _ in range(5)}
        assert len(theirs | ours) == 8
    finally:
        for other in others:
            other.communicate("\n")
