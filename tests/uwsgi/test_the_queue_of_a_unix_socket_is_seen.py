"""The kernel tells how many connections wait at a unix socket, and uWSGI's metrics show it."""

import os
import runpy
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.uwsgi import ask, serving
from tests.waiting import wait_until

backlog = runpy.run_path(str(CHECKOUT / "uwsgi" / "backlog.py"))["backlog"]


def test_a_filled_queue_is_read(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(50)
        inode = os.fstat(listener.fileno()).st_ino
        assert backlog(inode) == (0, 50)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(7)]
        for client in clients:
            client.connect(str(tmp_path / "s"))
        assert backlog(inode) == (7, 50)
        listener.accept()[0].close()
        assert backlog(inode) == (6, 50)
        for client in clients:
            client.close()


def test_a_socket_that_is_gone_is_an_error() -> None:
    with pytest.raises(OSError, match="unix socket 4294967295"):
        backlog(4294967295)


def test_the_metrics_show_it(tmp_path: Path) -> None:
    shape = {"STACK_PROCESSES": "1", "STACK_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="uwsgi-") as short,
        serving(tmp_path, APP_SOCKET=f"{short}/s", **shape) as server,
        ThreadPoolExecutor() as clients,
    ):
        for _ in range(3):
            clients.submit(ask, 0, "/sleep/1.5", address=f"{short}/s")
        wait_until(lambda: server.metric("uwsgi_listen_queue") == 2, 5)
