"""The figures of `make plan` are those of the pages that they name."""

from __future__ import annotations

import json
import lzma
import re
import time
from statistics import median

import pytest

from deploy.plan.figures import FIGURES
from stack.checkout import CHECKOUT
from tests.people.in_process import Browser, make_app, member
from tests.servers.redis import running_redis

TRIALS = CHECKOUT / "lab" / "results" / "raw" / "sessions.jsonl.xz"
USERS = 30
EXTENDED_AFTER_S = 1.0  # a request extends the idle timeout once a second at most


@pytest.mark.skipif(not TRIALS.exists(), reason="this copy has no lab")
def test_cpu_times_are_those_of_the_published_run() -> None:
    _, *lines = lzma.decompress(TRIALS.read_bytes()).decode().splitlines()
    trials = [json.loads(line) for line in lines]
    ours = [
        trial["figures"]
        for trial in trials
        if (trial["arm"], trial["load"]) == ("ours", "one client") and not trial["voids"]
    ]
    for part, name in {"nginx": "NGINX_US", "app": "STACK_US", "redis": "REDIS_US"}.items():
        measured = median(figures[f"cpu_us_{part}"] for figures in ours)
        assert FIGURES[name].value == round(measured), part


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
