"""The probe of nginx fails when slow clients hold all connections, although nginx accepts it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.observe import local
from stack import ports, programs
from stack.checkout import CHECKOUT
from tests.servers.nginx import listens, nginx
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
        ExitStack() as slow,
    ):
        assert succeeds(server.status_port)
        for _ in range(2 * FEWER["worker_connections"]):
            client = slow.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: "worker_connections are not enough" in server.errors())
        assert listens("127.0.0.1", server.status_port)
        assert not succeeds(server.status_port)
