"""The figures of `make plan` are those of the pages that they name."""

from __future__ import annotations

import re
import time

import pytest

from deploy.plan.figures import FIGURES
from stack.checkout import CHECKOUT
from tests.people.in_process import Browser, make_app, member
from tests.servers.redis import running_redis

PICTURE = CHECKOUT / "lab" / "results" / "sessions-cost.svg"
USERS = 30
EXTENDED_AFTER_S = 1.0  # a request extends the idle timeout once a second at most


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


def test_sessions_take_the_stated_memory_and_commands() -> None:
    with running_redis() as server:
        app, monitor = make_app(server), server.connect("monitor")

        def state(key: str) -> int:
            return int(monitor.info()[key])

        first, name = member(app)  # the first one also loads the scripts
        assert first.log_in(name).status_code == 303
        assert first.who() == name
        before = state("used_memory")
        names = [member(app)[1] for _ in range(USERS)]
        registered = state("used_memory")
        people = [(Browser(app), name) for name in names]
        assert {browser.log_in(name).status_code for browser, name in people} == {303}
        session = (state("used_memory") - registered) / USERS
        account = (registered - before) / USERS - session
        time.sleep(EXTENDED_AFTER_S + 0.1)
        asked = state("total_commands_processed")
        for browser, name in people:
            assert browser.who() == name
        # The question itself is one.
        commands = (state("total_commands_processed") - asked - 1) / USERS
    assert session == pytest.approx(FIGURES["SESSION_BYTES"].value, rel=0.3)
    assert account == pytest.approx(FIGURES["ACCOUNT_BYTES"].value, rel=0.5)
    assert commands == pytest.approx(FIGURES["REDIS_OPS"].value, abs=0.1)
