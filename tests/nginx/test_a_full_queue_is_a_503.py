"""A request that finds the listen queue full gets a 503 with Retry-After within seconds."""

import socket
import tempfile
import time
from pathlib import Path

from tests.servers.nginx import nginx


def test_over_tcp(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), nginx(tmp_path, port) as front:
            begun = time.monotonic()
            answer = front.get("/up")
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert time.monotonic() - begun < 20
            assert front.access("/up")["status"] == 503
            assert "while connecting to upstream" in front.errors()


def test_over_a_unix_socket(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as waiting,
        tempfile.TemporaryDirectory(prefix="app-") as short,
    ):
        full.bind(f"{short}/s")
        full.listen(0)
        waiting.connect(f"{short}/s")
        with nginx(tmp_path, 1, APP_SOCKET=f"{short}/s") as front:
            begun = time.monotonic()
            answer = front.get("/up")
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert time.monotonic() - begun < 20
            assert "Resource temporarily unavailable) while connecting" in front.errors()
