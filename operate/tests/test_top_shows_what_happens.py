"""`make top` shows requests, workers and what they do: live in a terminal, once for a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import threading
import time

import pytest

from operate import top
from stack.compose.runtime import ComposeRuntime
from tests.stack.checkouts import Commands, get


def rows(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head begins with *head*."""
    found = re.search(rf"^({head} .*)\n((?:.+\n)*)", text, re.MULTILINE)
    assert found, text
    return [re.split(r"\s{2,}", line.strip()) for line in found[2].splitlines()]


def test_once_for_a_pipe(copy: Commands) -> None:
    stop = threading.Event()

    def ask(path: str) -> None:
        while not stop.is_set():
            get(f"{copy.url}{path}")

    path = "/workload/io?ms=1500&token=hidden"
    asking = [threading.Thread(target=ask, args=(path,)) for _ in range(4)]
    for thread in asking:
        thread.start()
    done = copy.make("top", SECONDS="2")
    stop.set()
    for thread in asking:
        thread.join()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{copy.name} at {copy.url}, within ")
    ((requests, p50, p99, faults, connections, queue, wakes),) = rows(done.stdout, "requests")
    assert float(requests.removesuffix("/s")) > 1 and faults == "0"
    assert 1490 < int(p50.removesuffix(" ms")) <= int(p99.removesuffix(" ms")) < 5000
    assert int(connections) >= 1 and queue.endswith(" of 1024") and float(wakes) > 0.5
    services = {row[0]: row for row in rows(done.stdout, "service")}
    assert list(services) == ["nginx", "app", "redis"]
    for row in services.values():
        assert re.fullmatch(r"\d+ %", row[1]) and re.fullmatch(r"\d+\.\d MB", row[2])
    workers = rows(done.stdout, "worker")
    assert [row[0] for row in workers] == [str(number + 1) for number in range(len(workers))]
    assert re.search(r"GET /workload/io \d\.\d s$", done.stdout, re.MULTILINE)
    assert "hidden" not in done.stdout


def test_live_in_a_terminal(copy: Commands) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        live = {"TOP_LIVE": "yes", "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        os.chdir(copy.checkout)
        words = [sys.executable, "-m", "operate", "top"]
        os.execve(words[0], words, {**copy.environ, **live, "SECONDS": "0.5"})
    shown, asked = b"", False
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
        if shown.count(b"wake-ups/request") >= 2 and not asked:
            asked = True
            os.write(terminal, b"\x03")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    assert "Ctrl-C ends it" in text and re.search(r"nginx +\d+ % +\d+\.\d MB", text)


def test_seconds_are_checked(copy: Commands) -> None:
    for seconds in ("0", "soon", "nan"):
        done = copy.make("top", SECONDS=seconds)
        assert done.returncode != 0
        assert f"SECONDS='{seconds}' must be from 0.5 to 60" in done.stderr


@pytest.mark.containers
def test_in_containers(stack: ComposeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    get(f"{stack.address()}/livez")
    top._once(stack, 1)
    shown = capsys.readouterr().out
    assert len(rows(shown, "requests")) == 1
    assert [row[0] for row in rows(shown, "service")] == ["nginx", "app", "redis"]
    assert all(re.fullmatch(r"\d+ %", row[1]) for row in rows(shown, "service"))
    assert rows(shown, "worker")


def a_look(at: float, requests: float, switches: float) -> top.Look:
    text = f"""# HELP uwsgi_requests_total Requests
uwsgi_requests_total{{worker="1"}} {requests}
uwsgi_worker_voluntary_switches_total{{worker="1"}} {switches}
uwsgi_worker_pid{{worker="1"}} 7.0
uwsgi_listen_queue NaN
uwsgi_listen_queue_max 1024.0
"""
    doing = {"1": [("GET", "/\x1b[2J", at - 1)]}
    return top.Look(at, top.parse(text), doing, "3", {"app": None})


def test_the_figures_are_differences() -> None:
    answers = [(200, 0.010)] * 98 + [(200, 0.5), (503, 0.9)]
    first, services, workers = top.tables_of(a_look(0, 100, 1000), a_look(10, 200, 1150), answers)
    assert first.rows[1] == ("10.0/s", "10 ms", "900 ms", "1", "3", "? of 1024", "1.50")
    assert services.rows[2] == ("app", "-", "-")
    # A path that a client sends cannot command the terminal.
    assert workers.rows[1][2:4] == ("0", "10.0/s") and workers.rows[1][-1] == "GET /?[2J 1.0 s"


def test_a_reload_gives_no_negative_figures() -> None:
    first, _, workers = top.tables_of(a_look(0, 100, 1000), a_look(10, 20, 30), [])
    assert first.rows[1] == ("0.0/s", "-", "-", "0", "3", "? of 1024", "-")
    assert workers.rows[1][3] == "2.0/s"
