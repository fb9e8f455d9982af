"""The client takes a Sentinel pool of redis-py: after a failover it writes to the new master."""

import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis as redis_py
from redis.sentinel import Sentinel

from app.redis_client import RedisClient, StoreUnavailable
from stack import ports
from tests.sessions.pages import logged_in, make_app
from tests.waiting import wait_until


def answers(port):
    try:
        return redis_py.Redis(port=port, socket_timeout=1).ping()
    except redis_py.RedisError:
        return False


@pytest.fixture(scope="module")
def sentinel():
    """The port of a Sentinel that watches the master `main`, which has one replica."""
    master, replica, sentinel = ports.free(), ports.free(), ports.free()
    with TemporaryDirectory(prefix="sentinel-") as name, ExitStack() as running:
        folder = Path(name)
        (folder / "sentinel.conf").write_text(
            f"port {sentinel}\nbind 127.0.0.1\ndir {name}\n"
            f"sentinel monitor main 127.0.0.1 {master} 1\n"
            "sentinel down-after-milliseconds main 1000\n"
            "sentinel failover-timeout main 3000\n"
        )
        server = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--port"]
        for command in (
            [*server, str(master)],
            [*server, str(replica), "--replicaof", f"127.0.0.1 {master}"],
            ["redis-server", "sentinel.conf", "--sentinel"],
        ):
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
            running.callback(process.wait)
            running.callback(process.kill)
        for port in (master, replica, sentinel):
            wait_until(lambda port=port: answers(port), 20)
        wait_until(
            lambda: redis_py.Redis(port=sentinel).sentinel_masters()["main"]["num-slaves"] == 1, 30
        )
        yield sentinel


def test_a_failover_is_followed(sentinel):
    watched = Sentinel([("127.0.0.1", sentinel)], socket_timeout=0.3)
    client = RedisClient(watched.master_for("main").connection_pool)
    assert repr(client) == "<RedisClient main>"
    browser = logged_in(make_app(client))
    before = watched.discover_master("main")
    redis_py.Redis(port=before[1]).execute_command("WAIT", 1, 5000)

    def replica_is_known() -> bool:
        try:
            redis_py.Redis(port=sentinel).execute_command("SENTINEL", "FAILOVER", "main")
        except redis_py.ResponseError as error:
            assert "NOGOODSLAVE" in str(error)
            return False
        return True

    wait_until(replica_is_known, 30)
    wait_until(lambda: watched.discover_master("main") != before, 30)

    new = redis_py.Redis(port=watched.discover_master("main")[1])

    def written():
        # The old master takes writes, and loses them, until Sentinel makes it a replica.
        with suppress(StoreUnavailable):
            client.execute("SET", "post:1", "after")
        return new.get("post:1") == b"after"

    wait_until(written, 60)
    assert browser.get("/whoami").json == "ann"
