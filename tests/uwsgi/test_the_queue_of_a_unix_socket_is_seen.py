"""The kernel tells how many connections wait at a unix socket, and uWSGI's metrics show it."""

import os
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stack import ports
from stack.checkout import CHECKOUT
from tests.servers.uwsgi import asked, serving
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
        asked(3, 0, "/sleep/0.5", address=f"{short}/s"),
    ):
        wait_until(lambda: server.metric("uwsgi_listen_queue") == 2)


@pytest.mark.parametrize("open_files", range(4))
def test_the_master_is_told_the_right_socket(tmp_path: Path, open_files: int) -> None:
    """Whatever is open already: the sockets move to other numbers, over those that they had."""
    program = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT / "uwsgi")!r})
from listening import Listening
files = [open("/dev/null") for _ in range({open_files})]
values = {{"STACK_LISTEN": "9", "APP_LISTEN": "127.0.0.1:{ports.free()}", "APP_SOCKET": "s",
          "METRICS_LISTEN": "127.0.0.1:{ports.free()}"}}
listening = Listening(values)
inode = os.fstat(listening.requests[1].fileno()).st_ino
assert listening.hand_over()["APP_SOCKET_INODE"] == str(inode)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
