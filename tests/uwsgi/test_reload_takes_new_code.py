"""A reload is a swap of masters: nobody waits, and code that does not start has no effect."""

import json
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.uwsgi import APP, RELOAD, Uwsgi, ask, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

STREAM = """
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()
"""
EVENTS = """
def events():
    while True:
        yield b"data: one\\n\\n"
        time.sleep(0.1)
"""


class Clients:
    """Threads that send requests without a pause and record failures and the longest wait."""

    def __init__(self, port: int, number: int = 3, path: str = "/") -> None:
        self.failures: list[str] = []
        self.answered = 0
        self.longest = 0.0
        self._done = threading.Event()
        self._port, self._path = port, path
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def _run(self) -> None:
        while not self._done.is_set():
            begun = time.monotonic()
            try:
                ask(self._port, self._path)
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


def write(server: Uwsgi, text: str) -> None:
    (server.folder / "small.py").write_text(text)


def version(number: int) -> str:
    return APP.replace('VERSION = "1"', f'VERSION = "{number}"')


def versions(server: Uwsgi) -> set[bytes]:
    return {ask(server.port).split()[0] for _ in range(30)}


def files(server: Uwsgi) -> list[str]:
    return sorted(file.name for file in server.run.iterdir())


def masters(server: Uwsgi) -> int:
    return sum("uWSGI master" in line for line in server.processes().values())


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_a_request_in_flight_delays_nobody(tmp_path: Path, lazy: str) -> None:
    """Nor does an import that takes four seconds."""
    settings = {"STACK_LAZY_APPS": lazy, "LOAD_SECONDS": "4"}
    with serving(tmp_path, **settings) as server, ThreadPoolExecutor() as requests:
        before = server.workers()
        write(server, version(2))
        slow = requests.submit(ask, server.port, "/sleep/20")
        with Clients(server.port) as clients:
            time.sleep(0.2)
            answer = server.reload()
            assert not slow.done(), "it waited for the request in flight"
        assert answer.returncode == 0, answer.stderr + server.log
        assert "generation 2 serves" in answer.stdout
        wait_until(lambda: len(server.workers()) == 2)
        assert not set(before.values()) & set(server.workers().values())
        assert clients.failures == []
        assert clients.answered > 50
        assert clients.longest < 4, "it waited for the import"
        assert slow.result().startswith(b"1 ")
        assert versions(server) == {b"2"}
        wait_until(lambda: files(server) == ["2", "current", "reload.lock", "status.json"], 20)
        assert masters(server) == 1


def test_one_process_with_one_thread_reloads_ten_times_in_a_row(tmp_path: Path) -> None:
    settings = {"STACK_PROCESSES": "1", "STACK_THREADS": "1"}
    with serving(tmp_path, **settings) as server, Clients(server.port) as clients:
        took, waits = [], []
        for number in range(2, 12):
            write(server, version(number))
            clients.longest = 0
            begun = time.monotonic()
            answer = server.reload()
            waits.append(clients.longest)
            took.append(time.monotonic() - begun)
            assert answer.returncode == 0, answer.stderr + server.log
            assert server.metric("uwsgi_generation") == number
        wait_until(lambda: masters(server) == 1, 20)
        assert versions(server) == {b"11"}
    assert clients.failures == []
    assert clients.answered > 100
    # A busy machine delays one request or another; a reload that is waited for delays all ten.
    assert sorted(waits)[4] < max(1, min(took)), "it waited for a reload"


def test_an_open_stream_does_not_stop_three_reloads(tmp_path: Path) -> None:
    app = APP.replace('    body = f"{VER', STREAM + '    body = f"{VER', 1) + EVENTS
    with serving(tmp_path, app=app) as server, ThreadPoolExecutor() as clients:

        def read() -> None:
            with suppress(ConnectionError):
                ask(server.port, "/events")

        stream = clients.submit(read)
        wait_until(lambda: sum(server.busy_threads().values()) == 1)
        for number in (2, 3, 4):
            begun = time.monotonic()
            assert server.reload().returncode == 0, server.log
            assert time.monotonic() - begun < 60, "it waited for the stream"
            assert server.metric("uwsgi_generation") == number
            assert masters(server) <= 2, "one serves, one drains"
            assert stream.done() == (number > 2), "the stream may go on while its master drains"
        assert (
            "generation 1 ends, because the next one drains: 1 requests are cut off" in server.log
        )


CRASHES = "\nimport ctypes, threading\nthreading.Timer(0.3, ctypes.string_at, (0,)).start()\n"


@pytest.mark.parametrize(
    ("lazy", "code", "reason"),
    [
        ("off", "\nimport nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
        ("on", "\nimport nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
        # The second worker is interrupted while it loads, and says so.
        (
            "on",
            "\nimport uwsgi\nif uwsgi.worker_id() > 1:\n    time.sleep(30)\n"
            "import nowhere_to_be_found\n",
            "No module named 'nowhere_to_be_found'",
        ),
        # A thread that does not end made the trial import of former times hang.
        (
            "off",
            "\nimport threading\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n",
            "started threads",
        ),
        ("on", CRASHES, "died while it started"),
        ("off", "\ntime.sleep(1000)\n", "accept no requests after 8 s (STACK_START_TIMEOUT)"),
        ("off", "\nsys.exit(0)\n", "SystemExit"),
    ],
)
def test_code_that_does_not_start_changes_nothing(
    tmp_path: Path, lazy: str, code: str, reason: str
) -> None:
    settings = {"STACK_LAZY_APPS": lazy}
    if "STACK_START_TIMEOUT" in reason:
        settings["STACK_START_TIMEOUT"] = "8"
    with serving(tmp_path, **settings) as server, Clients(server.port) as clients:
        before = server.processes()
        write(server, version(2) + code)
        answer = server.reload()
        assert answer.returncode == 1
        assert "the old code still does" in answer.stderr
        assert reason in answer.stderr
        wait_until(lambda: server.processes() == before)  # until zombies are reaped
        wait_until(lambda: files(server) == ["1", "current", "reload.lock", "status.json"])
        if "died" not in reason:  # its workers serve until they crash
            assert clients.failures == []
    # Corrected code is loaded.
    with serving(tmp_path / "again", **settings) as server:
        write(server, version(2) + code)
        assert server.reload().returncode == 1
        write(server, version(3))
        assert server.reload().returncode == 0, server.log
        assert versions(server) == {b"3"}


def test_what_cannot_be_written_now_is_written_later(tmp_path: Path) -> None:
    """As on a disk that is full for a moment. Otherwise no reload would be possible any more."""
    with serving(tmp_path) as server:
        (server.run / "status.new" / "inside").mkdir(parents=True)
        answer = server.reload()
        assert answer.returncode == 1
        assert "does not respond" in answer.stderr
        shutil.rmtree(server.run / "status.new")
        wait_until((server.run / "status.json").exists)
        assert server.log.count("cannot write status.json, and goes on trying") == 1
        assert server.reload().returncode == 0, server.log


@pytest.mark.parametrize("obstacle", ["2", "next"])
def test_what_cannot_be_written_stops_a_reload_and_not_the_app(
    tmp_path: Path, obstacle: str
) -> None:
    """As on a full disk, or where no process can be started: at the begin, and at the end.

    At the end the new workers have requests already.
    """
    with serving(tmp_path) as server, Clients(server.port, 6, "/sleep/0.3") as clients:
        wait_until(lambda: '"starting": false' in (server.run / "status.json").read_text())
        before = server.processes()
        write(server, version(2))
        (server.run / obstacle / "inside").mkdir(parents=True)
        answer = server.reload()
        assert answer.returncode == 1, server.log
        assert "the old code still does" in answer.stderr
        assert obstacle in answer.stderr
        wait_until(lambda: server.processes() == before)
        shutil.rmtree(server.run / obstacle, ignore_errors=True)
        assert server.reload().returncode == 0, server.log
        assert versions(server) == {b"2"}
    assert clients.failures == []


def test_an_outcome_that_cannot_be_written_does_not_end_the_app(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Clients(server.port) as clients:
        wait_until(lambda: '"starting": false' in (server.run / "status.json").read_text())
        (server.run / "status.new").mkdir()
        answer = server.reload()
        assert answer.returncode == 1, server.log
        assert "does not respond" in answer.stderr
        wait_until(lambda: masters(server) == 1, 20)
        (server.run / "status.new").rmdir()
        server.process.send_signal(signal.SIGHUP)
        wait_until((server.run / "status.json").exists, 20)
        assert server.reload().returncode == 0, server.log
    assert clients.failures == []


def test_the_line_at_which_a_start_hangs_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_START_TIMEOUT="6") as server:
        write(server, version(2) + "\ndef the_place():\n    time.sleep(1000)\nthe_place()\n")
        assert "in the_place" in server.reload().stderr


def test_sighup_reloads_and_a_reload_waits_for_another(tmp_path: Path) -> None:
    with serving(tmp_path, LOAD_SECONDS="1") as server:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "starting a second master" in server.log)
        write(server, version(2))
        command = {"env": server.environ, "stdout": subprocess.PIPE, "text": True}
        both = [subprocess.Popen([RELOAD], **command) for _ in range(2)]  # type: ignore[call-overload]
        output = "".join(process.communicate(timeout=60)[0] for process in both)
        assert [process.returncode for process in both] == [0, 0], server.log
        assert "waiting for another reload" in output
        assert "generation 3 serves" in output
        assert "generation 4 serves" in output
        assert versions(server) == {b"2"}


def test_a_stranger_with_the_pid_of_a_killed_entrypoint_gets_no_signal(tmp_path: Path) -> None:
    with serving(tmp_path) as server, subprocess.Popen(["sleep", "60"]) as stranger:
        server.process.kill()
        server.process.wait()
        file = server.run / "status.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": stranger.pid}))
        answer = server.reload()
        assert answer.returncode == 1
        assert "is it running?" in answer.stderr
        assert stranger.poll() is None, "it got SIGHUP"
        stranger.kill()


def test_settings_are_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "environment.json"
    server = Uwsgi(tmp_path, prepare=lambda environ: file.write_text(json.dumps(environ)),
                   APP_ENVIRONMENT=str(file))  # fmt: skip
    try:
        server.wait_until_it_serves()
        changed = {"STACK_PROCESSES": "3", "STACK_THREADS": "1", "STACK_LISTEN": "77"}
        file.write_text(json.dumps({**server.environ, **changed}))
        assert server.reload().returncode == 0, server.log
        wait_until(lambda: len(server.workers()) == 3)
        assert server.metric("uwsgi_option", name="threads") == 1
        assert server.metric("uwsgi_listen_queue_max") == 77

        file.write_text(json.dumps({**server.environ, "STACK_THREADS": "none"}))
        answer = server.reload()
        assert answer.returncode == 1
        assert "STACK_THREADS='none': must be" in answer.stderr
        assert len(server.workers()) == 3
    finally:
        server.end()


def test_metrics_have_neither_gaps_nor_doubles(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        seen: list[float] = []
        done = threading.Event()

        def scrape() -> None:
            while not done.is_set():
                text = server.metrics(patience=0)  # raises if it is refused
                assert text.count("\nuwsgi_generation ") == 1
                assert text.count('\nuwsgi_requests_total{worker="1"}') == 1
                seen.append(server.metric("uwsgi_generation"))

        with ThreadPoolExecutor() as pool:
            scraping = pool.submit(scrape)
            begun = time.time()
            for _ in range(3):
                assert server.reload().returncode == 0, server.log
            time.sleep(0.5)
            done.set()
            scraping.result()
        assert seen == sorted(seen)
        assert set(seen) == {1.0, 2.0, 3.0, 4.0}
        assert begun < server.metric("uwsgi_generation_timestamp_seconds") <= time.time()


TIMER = """
import uwsgidecorators
@uwsgidecorators.timer(1)
def tick(number):
    with open(os.environ["TICKS"], "a") as file:
        file.write(f"{VERSION} {time.monotonic()}\\n")
"""


def test_a_timer_runs_in_the_generation_that_serves(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    with serving(tmp_path, app=APP + TIMER, TICKS=str(ticks)) as server:
        wait_until(ticks.exists)
        write(server, version(2) + TIMER + "\ntime.sleep(1)\n")
        assert server.reload().returncode == 0, server.log
        wait_until(lambda: "2 " in ticks.read_text())
        numbers = [line.split()[0] for line in ticks.read_text().splitlines()]
        assert numbers == sorted(numbers), "two generations took turns"
