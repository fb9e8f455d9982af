"""HTTP/2 with STACK_TLS=on: many streams of one browser, and header blocks of any shape."""

from __future__ import annotations

import itertools
import re
import string
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nginx.test_limits_hold_in_sum import path_with_a_disk_of
from tests.servers.nginx import Nginx, stack_behind_nginx
from tests.waiting import wait_until

pytestmark = pytest.mark.http2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with stack_behind_nginx(folder, STACK_TLS="on", STACK_HOSTS="localhost") as (front, _):
        yield front


def curl(port: int, path: str, *options: str, http: str = "--http2") -> str:
    """Return protocol and status of an answer, such as `2 200`."""
    done = subprocess.run(
        ["curl", "--silent", "--insecure", http, "--output", "/dev/null",
         "--write-out", "%{http_version} %{http_code}", *options,
         f"https://localhost:{port}{path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_the_client_chooses_the_version(server: Nginx) -> None:
    assert curl(server.tls_port, "/up") == "2 200"
    assert curl(server.tls_port, "/up", http="--http1.1") == "1.1 200"
    assert "http2" not in server.errors(), "a warning about the directive"


def hundred_streams(port: int, path: str) -> str:
    """Ask 600 times on one connection, 100 at once; return how many got which statuses."""
    command = ["h2load", "--requests=600", "--clients=1", "--max-concurrent-streams=100"]
    done = subprocess.run(
        [*command, f"https://localhost:{port}{path}"], capture_output=True, text=True, check=True
    )
    assert "Application protocol: h2" in done.stdout
    codes = re.search(r"status codes: (.*)", done.stdout)
    assert codes
    return codes[1]


def test_a_hundred_streams_of_one_browser_are_served(server: Nginx) -> None:
    assert hundred_streams(server.tls_port, "/up") == "600 2xx, 0 3xx, 0 4xx, 0 5xx"


@pytest.mark.parametrize(
    "settings",
    [{"STACK_CLIENT_REQUESTS": "5"}, {"STACK_CLIENT_REQUESTS": "0", "STACK_BODY_LIMIT": "11"}],
    ids=["bodies", "uploads"],
)
def test_a_body_without_a_length_counts(tmp_path: Path, settings: dict[str, str]) -> None:
    """One address may have two: two fifths of five, and a quarter of nine that fit on the disk."""
    settings |= {"STACK_TLS": "on", "PATH": path_with_a_disk_of(128, tmp_path)}
    with stack_behind_nginx(tmp_path, **settings) as (front, _), ExitStack() as opened:
        command = ["curl", "--silent", "--insecure", "--http2", "--request", "POST"]
        command += ["--upload-file", ".", "--output", "/dev/null", "--write-out", "%{http_code}"]
        command.append(f"https://localhost:{front.tls_port}/read")
        started = []
        for _ in range(3):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(opened.enter_context(process))
            assert process.stdin
            process.stdin.write(b"x" * 1000)
            process.stdin.flush()
        wait_until(lambda: [one.poll() for one in started].count(0) == 1, 20)
        ended = {one.poll(): one.communicate()[0] for one in started if one.poll() == 0}
        assert ended == {0: b"429"}
        assert [one.communicate()[0] for one in started if one.poll() is None] == [b"200"] * 2


def test_many_short_headers_never_overflow_uwsgis_buffer(server: Nginx, tmp_path: Path) -> None:
    """A header of one letter grows most on its way to uWSGI, which must not become a 502."""
    letters = string.ascii_lowercase
    names = [*letters, *("".join(pair) for pair in itertools.product(letters, repeat=2))]
    names = [name for name in names if name != "te"]
    statuses = set()
    for same in (True, False):
        for count, rest in ((600, 0), (690, 9_000), (990, 9_000), (1_100, 0), (4_000, 0)):
            lines = ["a;"] * count if same else [f"{name};" for name in names[:count]]
            lines.append(f"cookie: c={'x' * rest}")
            (file := tmp_path / "headers").write_text("\n".join(lines))
            statuses.add(curl(server.tls_port, "/up", "--header", f"@{file}"))
    assert statuses == {"2 200", "2 431"}
