"""nginx follows the app's name to a new address, as after a container is recreated."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from stack import ports
from tests.servers.nginx import Nginx, nginx
from tests.servers.uwsgi import echo
from tests.waiting import wait_until


class NameServer:
    """Answers every question with `address`, or with "no such name" while that is None.

    A real name server on a real socket; only what it knows is ours to change.
    """

    def __init__(self) -> None:
        self.address: str | None = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def serve(self) -> None:
        while True:
            question, client = self.socket.recvfrom(512)
            if not question:
                return
            name_end = question.index(b"\0", 12) + 5
            found = self.address is not None
            head = question[:2] + struct.pack(
                ">HHHHH", 0x8180 if found else 0x8183, 1, int(found), 0, 0
            )
            answer = head + question[12:name_end]
            if self.address:
                answer += struct.pack(">HHHIH", 0xC00C, 1, 1, 600, 4)
                answer += socket.inet_aton(self.address)
            self.socket.sendto(answer, client)


@contextmanager
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", ("127.0.0.1", server.port))
        thread.join(10)
        server.socket.close()


def who_served(front: Nginx, path: str) -> list[str]:
    return [line["upstream"] for line in front.lines(path) if line["status"] == 200]


def test_the_app_moves(tmp_path: Path) -> None:
    port = ports.free("127.0.0.2")
    with name_server() as names:
        resolver = f"127.0.0.1:{names.port}"
        with nginx(tmp_path, port, APP_HOST="app", NGINX_RESOLVER=resolver) as front:
            assert front.get("/up").status == 503, "nginx starts before the name exists"
            for address in ("127.0.0.2", "127.0.0.3"):
                with echo(tmp_path / address, address=address, port=port):
                    names.address = address
                    # The record's TTL is 600 s: only `valid=` makes nginx's workers query in time.
                    wait_until(lambda: all(front.get("/up").status == 200 for _ in range(20)))
                    path = f"/at-{address}"
                    wait_until(lambda: front.get(path).status == 200)  # noqa: B023
                assert front.get("/gone").status == 503
            for address in ("127.0.0.2", "127.0.0.3"):
                # Before, one of nginx's workers may have answered 503 with the former address.
                served = wait_until(partial(who_served, front, f"/at-{address}"))
                assert served == [f"{address}:{port}"]
