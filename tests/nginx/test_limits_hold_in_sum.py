"""Limits that hold one by one also hold in sum, and one address takes only its share."""

import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.nginx.test_configuration_is_clean import rendered
from tests.nginx.test_entrypoint_refuses_bad_values import run
from tests.servers import proxies
from tests.servers.nginx import Nginx, request, stack_behind_nginx
from tests.waiting import wait_until

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


def size(text: str, expression: str) -> int:
    found = re.search(expression, text, re.M)
    assert found, expression
    return int(found[1]) * UNITS[found[2].lower()]


def test_the_memory_of_nginx(tmp_path: Path) -> None:
    """At the largest header buffers, with every connection, request and file in use."""
    conf = (CHECKOUT / "nginx/nginx.conf").read_text()
    conf += rendered(tmp_path, STACK_BUFFER_SIZE="32768")
    conf += (CHECKOUT / "nginx/snippets/app-buffers.conf").read_text()
    compose = (CHECKOUT / "docker-compose.yml").read_text()
    workers = size(conf, r"^worker_processes (\d+)();")
    connections = workers * size(conf, r"^ +worker_connections (\d+)();")
    head = size(conf, r"^client_header_buffer_size (\d+)();")
    head += size(conf, r"^large_client_header_buffers 1 (\d+)();") + 6000
    buffers = re.search(r"^uwsgi_buffers (\d+) (\d+)k;", conf, re.M)
    assert buffers
    body = int(buffers[1]) * int(buffers[2]) << 10
    body += size(conf, r"^client_body_buffer_size (\d+)(k);")
    body += size(conf, r"^uwsgi_buffer_size (\d+)(k);")
    requests = size(conf, r"^limit_conn requests (\d+)();")
    uploads = size(compose, r"NGINX_TMPFS:-(\d+)(m)")
    responses = size(compose, r"NGINX_RESPONSES_TMPFS:-(\d+)(m)")
    parts = [
        (connections, connections * head),
        (connections, connections * 40_000),
        (requests, requests * body),
        (1, uploads),
        (1, responses),
        (workers + 1, (workers + 1) * 10_000_000),
    ]
    limit = size(compose, r"NGINX_MEMORY:-(\d+)(m)")
    assert sum(part for _, part in parts) <= limit

    page = (CHECKOUT / "docs/operations.md").read_text(encoding="utf-8")
    table = page.partition("| part | count | each | sum |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\|[^|]*\| (\d+)[^|]*\|[^|]*\| (\d+) MB \|$", table, re.M)
    assert [int(count) for count, _ in rows] == [count for count, _ in parts]
    for (_, written), (_, part) in zip(rows, parts, strict=True):
        assert 0.99 * part <= int(written) * 1e6 <= 1.05 * part
    assert sum(int(written) for _, written in rows) * 1e6 <= limit


def path_with_a_disk_of(mib: int, folder: Path) -> str:
    """Return a PATH whose `df` says that each disk has that size."""
    df = folder / "df"
    df.write_text(f"#!/bin/sh\necho a head\necho tmpfs {mib << 10} 0 {mib << 10} 0% /tmp\n")
    df.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("limit", "uploads", "of_one_address"), [(1, 64, 16), (4, 16, 4), (16, 4, 1), (17, 0, 0)]
)
def test_uploads_at_once_follow_the_body_limit(
    tmp_path: Path, limit: int, uploads: int, of_one_address: int
) -> None:
    """On a disk of 80 MiB, as in containers. A limit of which not even four fit is refused."""
    settings = {"STACK_BODY_LIMIT": str(limit), "PATH": path_with_a_disk_of(80, tmp_path)}
    if not uploads:
        ended = run(tmp_path, "--check", **settings)
        assert ended.returncode == 2
        assert "STACK_BODY_LIMIT='17'" in ended.stderr and "80 MiB" in ended.stderr
        assert "NGINX_TMPFS" in ended.stderr
        return
    text = rendered(tmp_path, **settings)
    assert f"client_max_body_size {limit}m;" in text
    assert f"limit_conn uploads {uploads};" in text
    assert f"limit_conn client_uploads {of_one_address};" in text


def slow(
    server: Nginx, stack: ExitStack, number: int, message: bytes, source: str = "127.0.0.1"
) -> list[socket.socket]:
    """Open *number* connections from the address *source* that send *message* and no more."""
    opened = []
    for _ in range(number):
        connection = socket.create_connection(("127.0.0.1", server.port), 20, (source, 0))
        opened.append(stack.enter_context(connection))
        opened[-1].sendall(message)
    return opened


def refused(opened: list[socket.socket]) -> int:
    """Return how many of the connections have a 429."""
    count = 0
    for connection in opened:
        connection.setblocking(False)
        try:
            count += connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 429"
        except BlockingIOError:
            continue
    return count


def test_slow_clients_of_one_address_leave_room_for_others(tmp_path: Path) -> None:
    """Each of three kinds, 400 at once: incomplete headers, and bodies small and large.

    Two fifths of the requests of one address may have a body, so it still gets pages itself.
    """
    body = request("POST", "/read", "Content-Length: 60")
    upload = request("POST", "/read", "Content-Length: 900000") + b"x" * 65_000
    with stack_behind_nginx(tmp_path, STACK_CLIENT_REQUESTS="50") as (server, _), ExitStack() as s:
        slow(server, s, 400, b"GET /up HTTP/1.1\r\nHost: local")
        bodies = slow(server, s, 400, body)
        wait_until(lambda: refused(bodies) == 380, 20)
        uploads = slow(server, s, 400, upload)
        wait_until(lambda: refused(uploads) == 400, 20)
        assert server.get("/up").status == 200
        assert server.ask(request("POST", "/read", body=b"x")).status == 429
        assert server.get("/up", source="127.0.0.9").json()["REMOTE_ADDR"] == "127.0.0.9"
        large = request("POST", "/read", body=b"x" * 900_000)
        assert server.ask(large, source="127.0.0.9").status == 200


def test_slow_bodies_of_many_addresses_leave_room_for_requests_without_one(tmp_path: Path) -> None:
    """Twelve addresses have as many as they may: more than there may be of all.

    A request of another address with a body waits for one of theirs to end.
    """
    settings = {"STACK_TRUSTED_PROXIES": proxies.ADDRESS}
    with stack_behind_nginx(tmp_path, **settings) as (server, _), many_files(), ExitStack() as s:

        def of(client: int, method: str, *headers: str, body: bytes | None = None) -> bytes:
            told = f"X-Forwarded-For: 198.51.100.{client}"
            return request(method, "/read", told, *headers, body=body)

        def status(message: bytes) -> int:
            return server.ask(message, source=proxies.ADDRESS).status

        bodies = []
        for client in range(12):
            kind = "Transfer-Encoding: chunked" if client % 2 else "Content-Length: 60"
            bodies += slow(server, s, 102, of(client, "POST", kind), source=proxies.ADDRESS)
        wait_until(lambda: refused(bodies) == 12 * 102 - 1024, 30)
        for client in (1, 99):
            assert status(of(client, "GET")) == 200
            assert status(of(client, "POST", body=b"")) == 200
            assert status(of(client, "POST", body=b"x")) == 429
        bodies[0].close()
        wait_until(lambda: status(of(99, "POST", body=b"x")) == 200, 20)


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process open 4,096 files, if the soft limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("requests", "bodies"), [("256", 102), ("7", 2), ("2", 1), ("1", 1), ("0", 1)]
)
def test_one_address_has_two_fifths_of_its_requests_with_bodies(
    tmp_path: Path, requests: str, bodies: int
) -> None:
    text = rendered(tmp_path, STACK_CLIENT_REQUESTS=requests)
    assert f"limit_conn client_bodies {bodies};" in text
    assert ('all "";' in text) == (requests == "0"), "an empty key has no limit"


def test_zero_is_no_limit(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, STACK_CLIENT_REQUESTS="0") as (server, _), ExitStack() as s:
        bodies = slow(server, s, 300, request("POST", "/read", "Content-Length: 60"))
        assert server.get("/up").status == 200
        assert refused(bodies) == 0


LARGE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "8000000")])
    return [b"x" * 8_000_000]
"""


def test_responses_for_slow_clients_have_a_space_of_their_own(tmp_path: Path) -> None:
    """Clients that read slowly filled the space of uploads, and these got 500."""
    responses = tmp_path / "responses"
    responses.mkdir()
    settings = {"NGINX_RESPONSES": str(responses)}
    with stack_behind_nginx(tmp_path, LARGE, **settings) as (server, _), socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(request("GET", "/"))
        slow_body = request("POST", "/", "Content-Length: 900000") + b"x" * 65_000
        with socket.create_connection(("127.0.0.1", server.port)) as upload:
            upload.sendall(slow_body)
            wait_until(lambda: len(folders_of_files(server)) == 2, 20)
            assert folders_of_files(server) == {responses, tmp_path / "run/temp/body"}


def folders_of_files(server: Nginx) -> set[Path]:
    """Return the folders of the temporary files, which have no name, of nginx's workers."""
    master = server.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    files = []
    for descriptor in chain(*(Path(f"/proc/{worker}/fd").iterdir() for worker in workers)):
        with suppress(FileNotFoundError):  # it is closed by now
            files.append(descriptor.readlink())
    return {file.parent for file in files if file.name.endswith(" (deleted)")}
