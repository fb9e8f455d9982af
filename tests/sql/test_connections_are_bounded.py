"""A process has a connection for each of its threads at most; a swap has two sets for a moment."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from stack.checkout import CHECKOUT
from tests.servers.postgresql import postgresql
from tests.servers.redis import RedisServer
from tests.servers.uwsgi import ask, serving
from tests.waiting import wait_until

APP = """
import os

from app import create_app

application = create_app()

@application.get("/asked")
def asked():
    (demo,) = application.extensions["security"].users.page(0, 1)
    return demo.name

@application.get("/lazy")
def lazy():
    return os.environ["STACK_LAZY_APPS"]
"""
PROCESSES = THREADS = 2
CONNECTED = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid != pg_backend_pid()
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgresql() as server:
        yield server.url


@pytest.mark.postgresql
def test_workers_share_none_and_keep_one_a_thread(
    tmp_path: Path, redis: RedisServer, url: str
) -> None:
    """Both those that fork from a loaded app, and after the reload those that load it each."""
    done = threading.Event()
    file = tmp_path / "environment.json"

    def write(environ: dict[str, str]) -> None:
        environ["APP_ENVIRONMENT"] = str(file)
        file.write_text(json.dumps(environ))

    def visit(port: int) -> None:
        while not done.wait(0.05):
            with suppress(OSError):  # on a busy machine a connection can take too long: 503
                assert ask(port, "/asked") == b"demo"

    with (
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as observer,
        serving(
            tmp_path,
            app=APP,
            prepare=write,
            **redis.environ,
            PYTHONPATH=os.pathsep.join([str(tmp_path), str(CHECKOUT)]),
            STACK_USERS_URL=url,
            STACK_DEMO="on",
            STACK_PROCESSES=str(PROCESSES),
            STACK_THREADS=str(THREADS),
            STACK_LAZY_APPS="off",
            STACK_START_TIMEOUT="180",
        ) as server,
    ):
        cursor = observer.cursor()

        def connected() -> int:
            (count,) = cursor.execute(CONNECTED).fetchone() or (0,)
            return int(count)

        visitors = [threading.Thread(target=visit, args=(server.port,)) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        seen = []
        try:
            wait_until(lambda: connected() > 1, 60)
            watching = threading.Thread(
                target=lambda: [
                    seen.append(connected()) for _ in iter(lambda: done.wait(0.05), True)
                ]
            )
            watching.start()
            write(server.environ | {"STACK_LAZY_APPS": "on"})
            assert server.reload().returncode == 0
            assert ask(server.port, "/lazy") == b"on"
            wait_until(lambda: connected() <= PROCESSES * THREADS, 60)
        finally:
            done.set()
            for visitor in visitors:
                visitor.join()
        watching.join()
        assert max(seen) <= 2 * PROCESSES * THREADS
