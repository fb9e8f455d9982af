"""Faults of Redis: gone, silent, slow, full, read-only, with another password."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Fault
from faults.stage import Stage

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
        "SlowRequests",
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
)
