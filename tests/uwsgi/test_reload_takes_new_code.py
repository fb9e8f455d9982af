"""uwsgi/reload loads new code into all workers and loses no request; broken code has no effect."""

import threading
import time
from pathlib import Path

import pytest

from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until


class Clients:
    """Threads that send requests without a pause and record failures and the longest wait."""

    def __init__(self, port: int, number: int = 3) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self.longest = 0.0
        self._done = threading.Event()
        self._port = port
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def _run(self) -> None:
        while not self._done.is_set():
            begun = time.monotonic()
            try:
                ask(self._port)
            except OSError as error:
                self.failures.append(repr(error))
            self.answered += 1
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(0.01)

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def write_version(server: Uwsgi, version: str) -> None:
    module = server.folder / "small.py"
    text = module.read_text()
    module.write_text(text.replace('VERSION = "1"', f'VERSION = "{version}"'))


def versions(server: Uwsgi) -> set[bytes]:
    return {ask(server.port).split()[0] for _ in range(30)}


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_under_load(tmp_path: Path, lazy: str) -> None:
    settings = {"STACK_LAZY_APPS": lazy, "STACK_PROCESSES": "3", "LOAD_SECONDS": "0.5"}
    with serving(tmp_path, **settings) as server:
        before = server.workers()
        write_version(server, "2")
        with Clients(server.port) as clients:
            in_flight: list[bytes] = []
            slow = threading.Thread(target=lambda: in_flight.append(ask(server.port, "/sleep/4")))
            slow.start()
            time.sleep(0.2)
            answer = server.reload()
            slow.join()
        assert answer.returncode == 0, answer.stderr + server.log
        assert "3/3" in answer.stdout
        assert in_flight and in_flight[0].startswith(b"1 ")
        assert clients.failures == []
        assert clients.answered > 20
        if lazy == "on":
            assert clients.longest < 2, "a chain reload always leaves workers that serve"
        # A full reload restarts the exporter last.
        wait_until(lambda: server.metric("uwsgi_workers", state="starting") == 0, 10)
        assert not set(before.values()) & set(server.workers().values())
        assert versions(server) == {b"2"}


def test_idle_threads_do_not_delay_a_chain_reload(tmp_path: Path) -> None:
    """Without nudges, a chain reload waits worker-reload-mercy (65 s) for each worker."""
    settings = {"STACK_LAZY_APPS": "on", "STACK_PROCESSES": "4", "STACK_THREADS": "2"}
    with serving(tmp_path, **settings) as server:
        begun = time.monotonic()
        answer = server.reload()
        assert answer.returncode == 0, answer.stderr
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_broken_code_changes_nothing(tmp_path: Path, lazy: str) -> None:
    with serving(tmp_path, STACK_LAZY_APPS=lazy) as server:
        before = server.workers()
        module = server.folder / "small.py"
        module.write_text(module.read_text() + "\nimport nowhere_to_be_found\n")
        answer = server.reload()
        assert answer.returncode == 1
        assert "the old code still serves" in answer.stderr
        assert "No module named 'nowhere_to_be_found'" in answer.stderr
        assert server.workers() == before
        assert versions(server) == {b"1"}
