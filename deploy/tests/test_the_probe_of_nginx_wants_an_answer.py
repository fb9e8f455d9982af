"""When slow clients hold all connections, the probe of nginx fails, although nginx accepts it.

nginx counts the connections that it closed without an answer.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from deploy.observe import local
from stack import ports, programs
from stack.checkout import CHECKOUT
from tests.servers.nginx import get, listens, nginx
from tests.waiting import wait_until

pytestmark = pytest.mark.prometheus

FEWER = {"worker_processes": 1, "worker_connections": 16}


@contextmanager
def blackbox(log: Path) -> Iterator[Callable[[int], bool]]:
    """Run the exporter as shipped. It says whether the probe of a port succeeds."""
    port = ports.free()
    command = [
        "prometheus-blackbox-exporter",
        f"--config.file={local.HERE}/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={"PATH": programs.SEARCH_PATH}
        )

    def succeeds(target: int) -> bool:
        probe = f"http://127.0.0.1:{port}/probe?module=health&target=127.0.0.1:{target}"
        with urllib.request.urlopen(probe, timeout=10) as answer:
            return "\nprobe_success 1\n" in answer.read().decode()

    try:
        wait_until(lambda: process.poll() is not None or listens("127.0.0.1", port), 20)
        assert process.poll() is None, log.read_text()
        yield succeeds
    finally:
        process.terminate()
        process.wait(10)


class SlowClients:
    """Clients that send a part of their headers."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        stack.callback(self._leave)

    def _leave(self) -> None:
        for client in self._open:
            client.close()

    def come_until(self, condition: Callable[[], bool]) -> None:
        """Let one after another come until *condition* is true.

        A fixed number is not enough. nginx ends each after 10 s. And a worker that was stalled, as
        on a busy machine, refuses no new one while it can close an old one that it has not read.
        """

        def one_more() -> bool:
            client = socket.create_connection(("127.0.0.1", self._port))
            self._open.append(client)
            with suppress(OSError):  # nginx has closed it
                client.sendall(b"GET / HTTP/1.1\r\n")
            for closed in [client for client in self._open if not _is_open(client)]:
                self._open.remove(closed)
                closed.close()
            return condition()

        wait_until(one_more)


def _is_open(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_slow_clients_hold_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(CHECKOUT / "nginx", tmp_path / "nginx")
    text = (copy / "nginx.conf").read_text(encoding="utf-8")
    for directive, number in FEWER.items():
        text, found = re.subn(rf"^( *{directive}) \d+;", rf"\1 {number};", text, flags=re.M)
        assert found == 1
    (copy / "nginx.conf").write_text(text, encoding="utf-8")
    monkeypatch.setattr("tests.servers.nginx.ENTRYPOINT", copy / "entrypoint")
    with (
        nginx(tmp_path, 1) as server,
        blackbox(tmp_path / "log") as succeeds,
        ExitStack() as stack,
    ):
        assert succeeds(server.status_port)
        slow = SlowClients(server.port, stack)
        slow.come_until(lambda: "worker_connections are not enough" in server.errors())
        assert listens("127.0.0.1", server.status_port)
        slow.come_until(lambda: not succeeds(server.status_port))
        stack.close()
        # ConnectionsDropped compares the first two: accepted and handled.
        counts = wait_until(lambda: get(server.status_port, "/status").body.split(b"\n")[2:3])
        accepted, handled, _ = map(int, counts[0].split())
        assert accepted > handled
