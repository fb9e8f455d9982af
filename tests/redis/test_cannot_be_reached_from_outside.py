"""The local Redis has no port, and other users cannot enter the directory of its socket."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack import processes
from tests.servers.redis import ENTRYPOINT, RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def sockets_of(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # Redis has closed it
            if (name := link.readlink().name).startswith("socket:"):
                found.add(name.removeprefix("socket:[").rstrip("]"))
    return found


def test_it_has_no_internet_socket(server: RedisServer) -> None:
    assert server.process is not None
    inodes: set[str] = set()
    for member in processes.family(server.process.pid):
        inodes |= sockets_of(member.pid)
    assert inodes, "the unix socket was not found either"
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            assert line.split()[9] not in inodes, f"redis has a {table} socket: {line}"


def test_only_its_user_can_open_the_socket(server: RedisServer) -> None:
    assert server.socket.parent.stat().st_mode & 0o077 == 0
    assert server.socket.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REDIS_LISTEN", "somewhere", "must be tcp or the absolute path"),
        ("REDIS_MAXMEMORY", "much", "must be a size such as 128mb"),
        ("REDIS_PASSWORD_FILE", "", "must name a file"),
    ],
)
def test_a_bad_value_is_reported_and_nothing_starts(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "REDIS_LISTEN": str(tmp_path / "redis.sock"),
        "REDIS_RUN": str(tmp_path),
        "REDIS_DATA": str(tmp_path),
        "REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        name: value,
    }
    done = subprocess.run(
        [ENTRYPOINT],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 2
    assert name in done.stderr
    assert said in done.stderr


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.password_file.write_text("secret")
    with pytest.raises(AssertionError, match="at least 16 characters"):
        server.start()
