"""The entrypoint owns the listening sockets, by TCP, by a unix socket or by both."""

import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: the path of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="uwsgi-") as folder:
        yield Path(folder)


def is_unix_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.parametrize("sockets", ["unix", "unix and tcp"])
def test_a_unix_socket(tmp_path: Path, short: Path, sockets: str) -> None:
    path = short / "app.sock"
    with serving(tmp_path, APP_SOCKET=str(path), tcp="tcp" in sockets) as server:
        assert ask(0, address=str(path)).startswith(b"1 ")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert [file.name for file in short.iterdir()] == ["app.sock"]
        if "tcp" in sockets:
            assert ask(server.port).startswith(b"1 ")
        else:
            with pytest.raises(ConnectionRefusedError):
                ask(server.port)
        with ThreadPoolExecutor() as clients:
            answer = clients.submit(ask, 0, "/sleep/6", address=str(path))
            wait_until(lambda: sum(server.busy_threads().values()) == 1)
            assert server.stop() == 0
            assert answer.result().startswith(b"1 ")
        assert not path.exists()


def test_a_second_server_waits_under_its_own_name_if_it_is_expected(
    tmp_path: Path, short: Path
) -> None:
    path, host = short / "app.sock", socket.gethostname()
    settings = {"APP_SOCKET": str(path)}
    with serving(tmp_path / "old", **settings) as old:
        first = path.stat().st_ino
        (short / "app.sock.next").write_text("another-host\n")
        refused = Uwsgi(tmp_path / "refused", **settings)
        assert refused.process.wait(20) == 2
        assert "STACK_SOCKET='unix': another app serves at" in refused.log
        (short / "app.sock.next").write_text(f"{host}\n")
        own = short / f"app.sock.{host}"
        with serving(tmp_path / "new", **settings):
            wait_until(lambda: own.exists() and ask(0, address=str(own)), 20)
            assert path.stat().st_ino == first, "it took the name before it was told to"
            own.replace(path)
            assert old.stop() == 0
            assert is_unix_socket(path), "the old server removed the socket of the new one"
            assert ask(0, address=str(path)).startswith(b"1 ")


def test_a_file_of_a_killed_server_is_replaced(tmp_path: Path, short: Path) -> None:
    path = short / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(tmp_path, APP_SOCKET=str(path)):
        assert ask(0, address=str(path)).startswith(b"1 ")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Uwsgi(tmp_path, port=taken.getsockname()[1])
        assert server.process.wait(20) == 1
        assert f"APP_LISTEN='127.0.0.1:{server.port}': Address already in use" in server.log


def test_tcp_alone_is_a_choice(tmp_path: Path, short: Path) -> None:
    server = Uwsgi(tmp_path, APP_SOCKET=str(short / "app.sock"), STACK_SOCKET="tcp")
    try:
        wait_until(lambda: "socket 0 attached" in server.log, 20)
        assert "UNIX" not in server.log
        assert list(short.iterdir()) == []
    finally:
        server.end()
