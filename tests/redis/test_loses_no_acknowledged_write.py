"""Acknowledged writes survive SIGKILL, and a full Redis refuses writes instead of evicting keys."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.servers.redis import RedisServer, running_redis


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Its files are in memory: a write waits for no busy disk, and SIGKILL loses neither."""
    with running_redis() as server:
        yield server


def test_sigkill_under_load_loses_nothing(server: RedisServer) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with server.connect() as app:
            for number in range(1_000_000):
                try:
                    app.set(f"session:{number}", "x" * 200)
                except redis.RedisError:
                    return
                acknowledged.append(number)
                if number == 5000:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    server.kill()
    writer.join(30)
    server.start()
    with server.connect() as app:
        kept = app.mget([f"session:{number}" for number in acknowledged])
    assert len(acknowledged) > 5000
    assert kept.count(None) == 0


def test_a_stop_loses_nothing_and_exits_with_0(server: RedisServer) -> None:
    with server.connect() as app:
        app.set("account:1", "kept")
    assert server.stop() == 0
    server.start()
    with server.connect() as app:
        assert app.get("account:1") == b"kept"


def test_a_full_redis_refuses_writes_and_evicts_no_key(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, REDIS_MAXMEMORY="3mb")
    server.start()
    try:
        with server.connect() as app, server.connect("monitor") as monitor:
            with pytest.raises(redis.OutOfMemoryError):
                for number in range(10_000):
                    app.set(f"session:{number}", "x" * 1000, ex=3600)
            assert app.get("session:0") is not None
            assert monitor.info("stats")["evicted_keys"] == 0
            assert monitor.info("memory")["maxmemory_policy"] == "noeviction"
            assert monitor.info("persistence")["aof_enabled"] == 1
    finally:
        server.stop()
