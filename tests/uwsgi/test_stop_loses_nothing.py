"""SIGTERM at any moment lets requests finish and ends with exit code 0 in time."""

import os
import random
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.servers.uwsgi import APP, RELOAD, Uwsgi, ask, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

LOADING = "1.5"  # seconds that the app takes to import
SLEEPS = "        time.sleep(float(path"
TELLS = APP.replace(SLEEPS, f'        print("begins", path, file=sys.stderr, flush=True)\n{SLEEPS}')


@pytest.mark.parametrize("threads", ["1", "4"])
def test_requests_in_flight_are_answered(tmp_path: Path, threads: str) -> None:
    with serving(tmp_path, STACK_THREADS=threads) as server, ThreadPoolExecutor(16) as clients:
        answers = [clients.submit(ask, server.port, "/sleep/6") for _ in range(2 * int(threads))]
        wait_until(lambda: sum(server.busy_threads().values()) == 2 * int(threads))
        assert server.stop() == 0
        assert all(answer.result().startswith(b"1 ") for answer in answers)
    assert "no request lost" in server.log


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_a_starting_worker_does_not_delay_the_stop(tmp_path: Path, lazy: str) -> None:
    settings = {"STACK_LAZY_APPS": lazy, "LOAD_SECONDS": LOADING}
    with serving(tmp_path, **settings) as server, ThreadPoolExecutor(16) as clients:
        answer = clients.submit(ask, server.port, "/sleep/6")
        wait_until(lambda: sum(server.busy_threads().values()) == 1)
        idle = next(worker for worker, busy in server.busy_threads().items() if not busy)
        os.kill(server.workers()[idle], signal.SIGKILL)
        time.sleep(1)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 40, "75 s is the limit"
        assert answer.result().startswith(b"1 ")


@pytest.mark.parametrize("lazy", ["on", "off"])
@pytest.mark.parametrize("after", [0.8, 3.0])
def test_a_reload_does_not_delay_the_stop(tmp_path: Path, lazy: str, after: float) -> None:
    """*after* seconds into the reload: while the new master loads, and when it begins to serve."""
    with serving(tmp_path, STACK_LAZY_APPS=lazy, LOAD_SECONDS=LOADING) as server:
        reload = subprocess.Popen(
            [RELOAD], env=server.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(after)
            begun = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begun < 40, "75 s is the limit"
        finally:
            reload.kill()
            reload.wait()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_stop_at_any_moment_of_a_swap_loses_no_request(tmp_path: Path, kind: str) -> None:
    """While one generation starts or drains, and a request is in flight in each that has any.

    SWAP_STOPS=65 repeats it as often, so 130 times in all.
    """
    moments = random.Random(f"20261125 {kind}")
    for number in range(int(os.environ.get("SWAP_STOPS", "2"))):
        with tempfile.TemporaryDirectory(prefix="app-") as short:
            address = f"{short}/socket"
            socket = {"tcp": False, "APP_SOCKET": address} if kind == "unix" else {}
            where = address if kind == "unix" else "127.0.0.1"
            folder = tmp_path / str(number)
            with serving(folder, app=TELLS, LOAD_SECONDS="0.3", **socket) as server:
                stop_during_a_swap(server, where, moments.uniform(0, 3))
            assert not any(Path(short).iterdir())


def stop_during_a_swap(server: Uwsgi, address: str, after: float) -> None:
    with ThreadPoolExecutor(2) as clients:
        old = clients.submit(ask, server.port, "/sleep/6", address=address)
        wait_until(lambda: sum(server.busy_threads().values()) == 1)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(after)
        new = clients.submit(ask, server.port, "/sleep/1", address=address)
        wait_until(lambda: "begins /sleep/1" in server.log)
        processes = server.processes()
        begun = time.monotonic()
        assert server.stop() == 0, server.log
        assert time.monotonic() - begun < 40, "75 s is the limit"
        assert old.result().startswith(b"1 ")
        assert new.result().startswith(b"1 ")
    assert not any(psutil.pid_exists(pid) for pid in processes)
    assert [file.name for file in server.run.iterdir()] == ["current"]


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_a_stop_during_the_start(tmp_path: Path, lazy: str) -> None:
    random.seed(20261121)
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        server = Uwsgi(directory, STACK_LAZY_APPS=lazy, LOAD_SECONDS=LOADING)
        try:
            wait_until(lambda: "Starting uWSGI" in server.log)  # noqa: B023
            time.sleep(random.uniform(0, 2))
            begun = time.monotonic()
            assert server.stop() == 0, server.log
            assert time.monotonic() - begun < 40, "75 s is the limit"
        finally:
            server.end()


def test_a_request_beyond_the_grace_period_is_cut_off_and_logged(tmp_path: Path) -> None:
    """In a copy of the entrypoint with a grace period of 3 s."""
    shortened = tmp_path / "copy"
    subprocess.run(["cp", "-r", "uwsgi", "toggles", f"{_made(shortened)}/"], check=True)
    entrypoint = shortened / "uwsgi" / "entrypoint"
    grace = shortened / "uwsgi" / "generation.py"
    text = grace.read_text()
    assert "STOP_GRACE_SECONDS = 75\n" in text
    grace.write_text(text.replace("STOP_GRACE_SECONDS = 75\n", "STOP_GRACE_SECONDS = 3\n"))

    server = Uwsgi(tmp_path, entrypoint=entrypoint)
    try:
        server.wait_until_it_serves()
        with ThreadPoolExecutor(16) as clients:
            answer = clients.submit(ask, server.port, "/sleep/60", timeout=60)
            wait_until(lambda: sum(server.busy_threads().values()) == 1)
            begun = time.monotonic()
            assert server.stop() == 1
            assert 3 <= time.monotonic() - begun < 30
            with pytest.raises(ConnectionError):
                answer.result()
        assert "grace period of 3 s is over: 1 requests are cut off" in server.log
    finally:
        server.end()


def test_a_worker_that_hangs_without_a_request_does_not_cost_the_whole_grace(
    tmp_path: Path,
) -> None:
    hangs = "\nimport atexit\natexit.register(time.sleep, 1000)\n"
    with serving(tmp_path, app=APP + hangs) as server:
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 50, "75 s is the limit"
    assert "processes without a request do not end" in server.log


def test_a_sigterm_during_the_entrypoints_imports(tmp_path: Path) -> None:
    """For PID 1 the kernel would discard it, and the container would wait for its grace period."""
    begun = tmp_path / "begun"
    # Slows down the import of a module of the standard library.
    (tmp_path / "secrets.py").write_text(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(1)\n"
    )
    server = Uwsgi(tmp_path)
    try:
        wait_until(begun.exists)
        assert server.stop(timeout=30) == 0, server.log
    finally:
        server.end()


def test_no_process_survives_a_killed_entrypoint(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        workers = server.workers().values()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
