"""EAGAIN is counted exactly where tracepoints are allowed; elsewhere a sentence says why not."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from lab.measure import eagain

# Per line: 7 accepts without a connection, in the main thread and in an older one.
SERVER = """
import socket, sys, threading
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(64)
listener.setblocking(False)

def empty():
    for _ in range(7):
        try:
            listener.accept()
        except BlockingIOError:
            pass

go, done = threading.Semaphore(0), threading.Semaphore(0)
def other():
    while go.acquire():
        empty()
        done.release()
threading.Thread(target=other, daemon=True).start()

print(listener.getsockname()[1], flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        listener.accept()[0].close()
    empty()
    go.release()
    done.acquire()
    print("done", flush=True)
"""


class Server:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        self._port = int(self._out.readline())

    def pids(self) -> Mapping[str, Sequence[int]]:
        return {"app": [self._process.pid]}

    def connect(self, times: int) -> int:
        waiting = [socket.create_connection(("127.0.0.1", self._port)) for _ in range(times)]
        self._in.write(f"{times}\n")
        self._in.flush()
        assert self._out.readline() == "done\n"
        for connection in waiting:
            connection.close()
        return times


@pytest.fixture
def server() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@pytest.mark.tracepoints
def test_both_threads_are_counted_and_only_during_the_run(server: Server) -> None:
    server.connect(3)
    found = eagain.measure(server, lambda: server.connect(20))
    server.connect(3)
    assert found == 14 / 20


def never() -> int:
    raise AssertionError("a run that cannot be counted must not be started")


def test_without_perf_a_sentence_says_how_to_install_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(eagain.programs, "SEARCH_PATH", str(tmp_path))
    said = eagain.measure(server, never)
    assert isinstance(said, str)
    assert "perf is not installed" in said
    assert "linux-perf" in said


def test_without_permission_a_sentence_says_who_has_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    perf = tmp_path / "perf"
    perf.write_text("#!/bin/sh\necho 'event syntax error: unknown tracepoint' >&2\nexit 129\n")
    perf.chmod(0o755)
    monkeypatch.setattr(eagain.programs, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(eagain.os, "geteuid", lambda: 1000)
    assert eagain.measure(server, never) == (
        "EAGAIN was not counted: only root may use the kernel's tracepoints"
    )
    monkeypatch.setattr(eagain.os, "geteuid", lambda: 0)
    monkeypatch.setattr(eagain, "_TRACEFS", [str(tmp_path)])
    assert "shows no tracepoints" in str(eagain.measure(server, never))
    (tmp_path / "events/syscalls").mkdir(parents=True)
    assert "'event syntax error: unknown tracepoint'" in str(eagain.measure(server, never))


def test_an_error_of_perf_is_reported(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as that of an old version without --control."""
    perf = tmp_path / "perf"
    perf.write_text(
        "#!/bin/sh\ncase $* in *--control*) echo 'unknown option control' >&2; exit 129;; esac\n"
    )
    perf.chmod(0o755)
    monkeypatch.setattr(eagain.programs, "SEARCH_PATH", str(tmp_path))
    assert eagain.measure(server, never) == (
        "EAGAIN was not counted: perf reports 'unknown option control'"
    )
