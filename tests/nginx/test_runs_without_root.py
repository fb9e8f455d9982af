"""nginx runs as an unprivileged user on a read-only root and writes to NGINX_RUN only.

As root, these tests change to another user and make the root read-only. Another user can do
neither: the tests then show that nginx runs as that user.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.nginx import PATIENCE, ask, environment, get, listens
from tests.waiting import wait_until

NOBODY = 65534
# In a new mount namespace: everything below / is read-only except $1.
READ_ONLY_ROOT = """
set -eu
mount --bind "$1" "$1"
mount -o remount,ro,bind /
! touch "$2/probe" 2>/dev/null || { echo 'the root is not read-only' >&2; exit 9; }
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$2/nginx/entrypoint"
"""

ROOT_USER = os.geteuid() == 0
USER = NOBODY if ROOT_USER else os.geteuid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that NOBODY can enter, with a copy of nginx/: it may not reach the checkout."""
    shutil.copytree(CHECKOUT / "nginx", tmp_path / "nginx")
    (tmp_path / "run").mkdir()
    if ROOT_USER:
        for parent in (tmp_path, *tmp_path.parents):
            if Path(tempfile.gettempdir()) in parent.parents:
                parent.chmod(0o755)
        os.chown(tmp_path / "run", NOBODY, NOBODY)
    return tmp_path


@contextmanager
def started(folder: Path, command: list[str], **settings: str) -> Iterator[dict[str, int]]:
    """Start nginx with *command*; yield the ports that it listens on, and its pid."""
    environ = environment(folder, 1, **settings)
    ports = {
        name: int(value.rpartition(":")[2]) for name, value in environ.items() if "LIST" in name
    }
    out, err = folder / "access.log", folder / "error.log"
    for log in out, err:
        log.touch()
        os.chown(log, USER, -1)  # as Docker does with a container's pipes
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, env=environ, stdout=stdout, stderr=stderr)
    try:
        port = ports["NGINX_LISTEN"]
        wait_until(lambda: process.poll() is not None or listens("127.0.0.1", port))
        assert process.poll() is None, err.read_text()
        yield ports | {"pid": process.pid}
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
        assert process.wait(PATIENCE) == 0, err.read_text()


@pytest.mark.parametrize("tls", ["off", "on"])
def test_as_user_nobody_on_a_read_only_root(folder: Path, tls: str) -> None:
    command = [str(folder / "nginx/entrypoint")]
    if ROOT_USER:
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            READ_ONLY_ROOT,
            "sh",
        ]
        command += [str(folder / "run"), str(folder)]
    with started(folder, command, STACK_TLS=tls) as nginx:
        status = Path(f"/proc/{nginx['pid']}/status").read_text()
        assert re.findall(r"(?m)^Uid:\s+(\d+)", status) == [str(USER)]
        assert re.findall(r"(?m)^CapEff:\s+(\w+)", status) == ["0" * 16]
        assert get(nginx["NGINX_LISTEN"], "/nginx-health").status == 200
        port = nginx["NGINX_LISTEN_TLS" if tls == "on" else "NGINX_LISTEN"]
        # Too large for memory: nginx writes it to a temporary file.
        head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
        assert ask(port, head + b"x" * 900_000, tls=tls == "on").status == 503
        assert ask(port, b"GET /.env HTTP/1.1\r\nHost: a\r\n\r\n", tls=tls == "on").status == 404
    assert '"path":"/.env"' in (folder / "access.log").read_text()
    said = (folder / "error.log").read_text().splitlines()
    assert [
        line for line in said if "self-signed" not in line and "Connection refused" not in line
    ] == []


def test_a_run_directory_that_is_not_writable_is_reported(folder: Path) -> None:
    (folder / "run").chmod(0o500)
    command = [str(folder / "nginx/entrypoint")]
    if ROOT_USER:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    ended = subprocess.run(
        command, env=environment(folder, 1), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    fault = f"NGINX_RUN='{folder}/run': cannot be written to by uid {USER}"
    assert ended.stderr == f"nginx/entrypoint: {fault}\n"
