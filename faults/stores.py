"""Faults of Redis: gone, silent, slow, full, read-only, with another password."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from faults.fault import BrokenPromise, Fault
from faults.stage import Stage
from faults.users import ask
from stack.checkout import CHECKOUT

AWAY = r"failing fast until it answers"


@contextmanager
def killed(stage: Stage) -> Iterator[None]:
    os.kill(stage.main("redis"), signal.SIGKILL)
    yield


@contextmanager
def stopped(stage: Stage) -> Iterator[None]:
    pid = stage.main("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def slow(stage: Stage) -> Iterator[None]:
    """Let Redis run for 5 of every 105 ms."""
    pid = stage.main("redis")
    done = threading.Event()

    def slow_down() -> None:
        while not done.wait(0.005):
            os.kill(pid, signal.SIGSTOP)
            done.wait(0.1)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=slow_down)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def full(stage: Stage) -> Iterator[None]:
    _, most = stage.redis("CONFIG", "GET", "maxmemory").split()
    stage.redis("CONFIG", "SET", "maxmemory", "1mb")
    try:
        yield
    finally:
        stage.redis("CONFIG", "SET", "maxmemory", most)


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    """Make Redis a replica of a server that does not answer, as after a failover."""
    stage.redis("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        stage.redis("REPLICAOF", "NO", "ONE")


@contextmanager
def another_password(stage: Stage) -> Iterator[None]:
    stage.redis("ACL", "SETUSER", "app", "resetpass", ">another password")
    stage.redis("CLIENT", "KILL", "USER", "app")
    try:
        yield
    finally:
        stage.redis("ACL", "LOAD")


# ── Restore ─────────────────────────────────────────────────────────────────────────────────────

# The line of `make restore` after which it is killed, and how many seconds later.
LOADING, SWITCHING = "loading its data", "putting them in force"
REDIS_MOST_S = 60
MOMENTS = ((LOADING, 0.2), (SWITCHING, 0.0), (SWITCHING, 0.3), (SWITCHING, 1.0))


def operate_missing(_: str) -> str | None:
    return None if (CHECKOUT / "operate").is_dir() else "operate/ was left out"


@contextmanager
def killed_restore(stage: Stage) -> Iterator[None]:
    """Kill `make restore` at each moment. Afterwards there are all old or all new data."""
    yield
    served = Counter[str]()
    with TemporaryDirectory() as folder:
        file = f"{folder}/backup.tar.gz"
        then = _account(stage)
        _ended(stage.operate("backup", FILE=file), "backup")
        for line, delay in MOMENTS:
            later = _account(stage)
            _kill_at(stage.operate("restore", FILE=file, YES="1"), line, delay)
            # A step that was begun is finished without the command.
            if not stage.wait_for_operate(120):
                raise BrokenPromise("what a killed restore had begun is not finished after 120 s")
            if not _exists(stage, then):
                raise BrokenPromise("the data are neither the old nor the new ones")
            served["old" if _exists(stage, later) else "new"] += 1
        later = _account(stage)
        _ended(stage.operate("restore", FILE=file, YES="1"), "restore")
        if not _exists(stage, then) or _exists(stage, later):
            raise BrokenPromise("a second restore did not put the backup's data in force")
    said = ", ".join(f"{number} times the {kind} data" for kind, number in sorted(served.items()))
    stage.notes.append(
        f"after {len(MOMENTS)} kills Redis served {said}, never a part of them; a whole restore "
        "afterwards succeeded"
    )


def _kill_at(command: subprocess.Popen[str], line: str, delay: float) -> None:
    """Kill the process group *delay* seconds after *line* of its output."""
    assert command.stdout is not None  # noqa: S101 - a pipe
    with command:
        said = ""
        for said in command.stdout:
            if line in said:
                time.sleep(delay)
                os.killpg(command.pid, signal.SIGKILL)
                return
        raise BrokenPromise(f"make restore ended: {said.strip()}")


def _ended(command: subprocess.Popen[str], name: str) -> None:
    with command:
        said, _ = command.communicate(timeout=240)
    if command.returncode != 0:
        raise BrokenPromise(f"make {name}: {' / '.join(said.splitlines()[-3:])}")


def _account(stage: Stage) -> str:
    name = f"restore-{secrets.token_hex(4)}"
    fields = {"mark": name, "person": name, "account": "yes"}
    status = ask(stage.address, "/faults/mark", fields)[0]
    if status != 200:
        raise BrokenPromise(f"a new account got {status}")
    return name


def _exists(stage: Stage, name: str) -> bool:
    deadline = time.monotonic() + REDIS_MOST_S
    while (status := ask(stage.address, f"/faults/account/{name}")[0]) not in (200, 404):
        if time.monotonic() > deadline:
            raise BrokenPromise(f"{status} for {REDIS_MOST_S} s after a kill")
        time.sleep(0.2)
    return status == 200


FAULTS = (
    Fault(
        "redis-kill",
        "SIGKILL to Redis",
        killed,
        ("redis", r"DB loaded from append only file|Ready to accept connections"),
        "RedisDown",
        within_s=30,
    ),
    Fault(
        "redis-stop",
        "SIGSTOP to Redis for 10 s: it accepts connections and answers nothing",
        stopped,
        ("app", AWAY),
        "RedisDown",
        hold_s=10,
    ),
    Fault(
        "redis-slow",
        "Redis runs for 5 of every 105 ms, for 10 s",
        slow,
        ("", ""),
        "none: no request takes a second",
        hold_s=10,
    ),
    Fault(
        "redis-full",
        "maxmemory is reached for 5 s",
        full,
        ("app", r"redis refuses: OOM"),
        "RedisMemory",
        hold_s=5,
    ),
    Fault(
        "redis-read-only",
        "Redis is a replica of a server that is away, for 5 s",
        read_only,
        ("app", r"redis refuses: READONLY"),
        "ServerErrors",
        hold_s=5,
    ),
    Fault(
        "redis-password",
        "the app's password is another one, for 5 s",
        another_password,
        ("app", r"WRONGPASS|invalid username-password|failing fast"),
        "ServerErrors",
        hold_s=5,
    ),
    Fault(
        "restore-kill",
        "SIGKILL to `make restore` and its children, at four moments",
        killed_restore,
        ("redis", r"DB loaded from|Ready to accept connections"),
        "none: the command's output, and Redis is away for about a second",
        restores=True,
        within_s=30,
        missing=operate_missing,
    ),
)
