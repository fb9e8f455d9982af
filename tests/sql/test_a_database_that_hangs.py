"""A database that does not answer costs a bounded time, and only what needs an account."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.redis_client import StoreUnavailable
from app.security.users import User
from app.sql_users import METADATA, SqlUserStore, engine_of
from tests.people.in_process import Browser, make_app, member, new_name
from tests.servers.postgresql import PostgreSql, postgresql
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

# Seconds. The limit is 2; the rest is for a busy machine. Without a limit it takes forever.
MOST = 10.0
# Who does not wait answers sooner than who waits for the limit.
WAIT = 1.9


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as running:
        METADATA.create_all(engine_of(running.url))
        yield running


@pytest.mark.postgresql
def test_a_server_that_is_stopped_holds_no_worker(
    redis: RedisServer, server: PostgreSql, capfd: pytest.CaptureFixture[str]
) -> None:
    app = make_app(redis, STACK_USERS_URL=server.url)
    ada, name = member(app)
    with server.stopped():
        begun = time.monotonic()
        answer = ada.get("/auth/whoami")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert time.monotonic() - begun < MOST
        assert "STACK_USERS_URL: no answer within the time limit; failing" in capfd.readouterr().err
        # From now on nobody waits.
        for ask in (lambda: ada.get("/auth/whoami"), lambda: Browser(app).log_in(name)):
            begun = time.monotonic()
            assert ask().status_code == 503
            assert time.monotonic() - begun < WAIT
        assert Browser(app).get("/").status_code == 200
        assert ada.get("/livez").status_code == 200
    wait_until(lambda: ada.get("/auth/whoami").status_code == 200, MOST)
    assert ada.who() == name
    assert "STACK_USERS_URL: answers again" in capfd.readouterr().err


@pytest.mark.postgresql
def test_a_restarted_server_fails_no_request(redis: RedisServer, server: PostgreSql) -> None:
    app = make_app(redis, STACK_USERS_URL=server.url)
    ada, name = member(app)
    server.restart()
    assert ada.who() == name
    server.restart()
    # A write, which is not repeated.
    assert Browser(app).register(new_name()).status_code == 303


def test_a_port_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://app:s3cret@127.0.0.1:{silent.getsockname()[1]}/users"
        store = SqlUserStore(User, engine_of(url))
        begun = time.monotonic()
        for limit in (MOST, WAIT):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                store.get("1")
            assert time.monotonic() - begun < limit
            assert "s3cret" not in str(caught.value)


def test_a_locked_sqlite_is_waited_for_and_given_up(redis: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "users.sqlite"
    METADATA.create_all(engine_of(f"sqlite:///{file}"))
    app = make_app(redis, STACK_USERS_URL=f"sqlite:///{file}")
    ada, name = member(app)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for limit in (MOST, WAIT):
        begun = time.monotonic()
        answer = ada.get("/auth/whoami")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert time.monotonic() - begun < limit
    other.execute("ROLLBACK")
    wait_until(lambda: ada.get("/auth/whoami").status_code == 200, MOST)
    # Readers go on beside a writer; other writers wait, and open no circuit.
    other.execute("BEGIN IMMEDIATE")
    assert Browser(app).register(new_name()).status_code == 503
    assert ada.who() == name
    other.close()
