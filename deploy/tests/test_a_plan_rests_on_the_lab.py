"""The figures of `make plan` are those of the pages that they name."""

from __future__ import annotations

import re

import pytest

from deploy.plan.figures import FIGURES
from stack.checkout import CHECKOUT
from tests.servers.redis import RedisServer

PICTURE = CHECKOUT / "lab" / "results" / "sessions-cost.svg"
USERS = 30


@pytest.mark.skipif(not PICTURE.exists(), reason="this copy has no lab")
def test_cpu_times_are_those_of_the_published_run() -> None:
    title = re.search(r"<title>(.*?)</title>", PICTURE.read_text(encoding="utf-8"))
    assert title
    ours = re.search(r" ours: nginx ([0-9.]+), app ([0-9.]+), redis ([0-9.]+);", title[1])
    assert ours
    assert tuple(map(float, ours.groups())) == tuple(
        FIGURES[name].value for name in ("NGINX_US", "STACK_US", "REDIS_US")
    )


def test_the_memory_of_a_worker_is_that_of_the_operators_page() -> None:
    page = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"about ([0-9]+) MB for the app, ([0-9]+) MB per worker", page)
    assert found
    assert (FIGURES["APP_MB"].value, FIGURES["WORKER_MB"].value) == tuple(
        map(float, found.groups())
    )


def test_sessions_take_the_stated_memory_and_commands(redis: RedisServer) -> None:
    from app import create_app  # noqa: PLC0415 - an app of this test's Redis

    app = create_app({**redis.environ, "STACK_LOGIN_RATE": "0"})
    monitor = redis.connect("monitor")

    def memory() -> int:
        return int(monitor.info("memory")["used_memory"])

    def send(path: str, number: int, **more: str) -> object:
        client = app.test_client()
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(path).text)
        assert token
        form = {"csrf_token": token[1], "name": f"user-{number:04}", "password": "long enough 1"}
        assert client.post(path, data={**form, **more}).status_code == 303
        return client

    send("/auth/register", 9999, repeated="long enough 1")
    empty = memory()
    for number in range(USERS):
        send("/auth/register", number, repeated="long enough 1")
    with_accounts = memory()
    for number in range(USERS):
        client = send("/auth/login", number)
    session = (memory() - with_accounts) / USERS
    account = (with_accounts - empty) / USERS - session
    assert session == pytest.approx(FIGURES["SESSION_BYTES"].value, rel=0.3)
    assert account == pytest.approx(FIGURES["ACCOUNT_BYTES"].value, rel=0.5)

    before = monitor.info("stats")["total_commands_processed"]
    for _ in range(50):
        assert client.get("/home").status_code == 200  # type: ignore[attr-defined]
    commands = (monitor.info("stats")["total_commands_processed"] - before) / 50
    assert commands == pytest.approx(FIGURES["REDIS_OPS"].value, abs=0.1)
