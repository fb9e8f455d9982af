"""What dies or hangs in the middle of a swap costs its own requests only, on both sockets."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stack import probes
from stack.local.runtime import LocalRuntime
from tests.servers.uwsgi import RELOAD
from tests.stack.checkouts import get, own_name
from tests.waiting import wait_until


@pytest.fixture(scope="module", params=["unix", "tcp"])
def stack(request: pytest.FixtureRequest) -> Iterator[LocalRuntime]:
    with LocalRuntime(
        {
            "STACK_NAME": own_name(),
            "STACK_PORT": "0",
            "STACK_SOCKET": request.param,
            "STACK_WORKLOAD": "on",
            "STACK_PROCESSES": "2",
            "STACK_THREADS": "1",
            "STACK_HARAKIRI": "2",
        }
    ) as running:
        # The first master counts as serving once its workers have accepted for a second.
        wait_until(lambda: status(running)["serving"] == 1, 20)
        yield running


@contextmanager
def clients(stack: LocalRuntime) -> Iterator[list[int | None]]:
    """Two clients without a pause; yield the list of the statuses that they get."""
    done = threading.Event()
    seen: list[int | None] = []

    def ask() -> None:
        while not done.is_set():
            seen.append(probes.http_status(f"{stack.address()}/livez"))
            time.sleep(0.04)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            yield seen
        finally:
            done.set()
        for one in asking:
            one.result()


def run_directory(stack: LocalRuntime) -> Path:
    return Path(stack.state().run) / "uwsgi"


def status(stack: LocalRuntime) -> dict[str, int]:
    return json.loads((run_directory(stack) / "status.json").read_text())  # type: ignore[no-any-return]


def children(pid: int) -> list[int]:
    """The oldest first. psutil would read all processes of the machine."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def masters(stack: LocalRuntime) -> list[int]:
    return children(stack.main_pids()["app"])


def workers(master: int) -> list[int]:
    found = []
    for pid in children(master):
        with suppress(OSError):
            if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@contextmanager
def swap(stack: LocalRuntime, *, fails: str = "", lost: int = 0) -> Iterator[None]:
    """Run the block while a new master loads the app, then check the outcome of the swap.

    *fails*: the reason why the old master goes on. *lost*: how many requests of two clients may get
    no answer or an error.
    """
    before = status(stack)
    with clients(stack) as seen:
        reload = subprocess.Popen(
            [RELOAD],
            env={**os.environ, "APP_RUN": str(run_directory(stack))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_until(lambda: len(masters(stack)) == 2, 20)
            yield
            said = reload.communicate(timeout=60)[0]
        finally:
            reload.kill()
            reload.wait()
        if fails:
            assert (reload.returncode, fails in said) == (1, True), said
            serving = before["serving"]
        else:
            assert reload.returncode == 0, said
            serving = before["started"] + 1
        wait_until(lambda: len(masters(stack)) == 1, 20)
        wait_until(lambda: all(service.healthy for service in stack.status()), 20)
    assert status(stack)["serving"] == serving
    left = {file.name for file in run_directory(stack).iterdir()}
    assert left == {str(serving), "current", "reload.lock", "status.json"}
    assert len(workers(masters(stack)[0])) == 2
    assert len(seen) > 30
    assert sum(one != 200 for one in seen) <= lost, sorted(map(str, set(seen)))


def test_redis_and_workers_of_the_old_master_and_of_nginx_are_killed(stack: LocalRuntime) -> None:
    mains = stack.main_pids()
    with swap(stack, lost=4):
        for pid in (workers(masters(stack)[0])[0], workers(mains["nginx"])[0], mains["redis"]):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_of_the_new_master_is_killed(stack: LocalRuntime) -> None:
    with swap(stack, fails="died while it started", lost=4):
        new = masters(stack)[1]
        os.kill(wait_until(lambda: workers(new), 20)[0], signal.SIGKILL)


def test_a_request_and_redis_hang(stack: LocalRuntime) -> None:
    redis = stack.main_pids()["redis"]
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(get, f"{stack.address()}/workload/io?ms=6000")
        time.sleep(0.3)
        with swap(stack, lost=2):  # of the worker that harakiri kills
            os.kill(redis, signal.SIGSTOP)
            try:
                time.sleep(1.5)
            finally:
                os.kill(redis, signal.SIGCONT)
        # A master that drains enforces no harakiri: nginx ends the wait, or the request its work.
        assert stuck.result()[0] in (200, 502, 504)
