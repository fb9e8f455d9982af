"""A script's writes survive a restart.

The append-only file has them as a transaction. Redis 7.0 replays the file as its user `default`
and silently drops every transaction that this user may not run: a strict access list can lose all
sessions at the next start.
"""

from pathlib import Path

import pytest

from tests.servers.redis import RedisServer

SCRIPT = "redis.call('HSET', KEYS[1], 'a', '1'); redis.call('HSET', KEYS[1], 'b', '2')"


@pytest.mark.parametrize("ended_by", ["stop", "kill"])
def test_after_a(tmp_path: Path, ended_by: str) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        with server.connect() as app:
            app.eval(SCRIPT, 1, "session:one")
        getattr(server, ended_by)()
        server.start()
        with server.connect() as app:
            assert app.hgetall("session:one") == {b"a": b"1", b"b": b"2"}
    finally:
        server.stop()
