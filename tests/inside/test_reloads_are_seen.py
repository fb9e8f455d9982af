"""The pages of the start and of the next reload: their words, and what they read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from app.inside import server, start
from stack.checkout import CHECKOUT
from tests.people.in_process import make_app, member
from tests.servers.redis import RedisServer

FIRST = """\
a line that the app wrote before
[uWSGI] getting INI configuration from /srv/uwsgi/uwsgi.ini
*** Starting uWSGI 2.0.31 (64bit) on [Thu Nov 26 00:42:52 2026] ***
thunder lock: enabled
WSGI app 0 (mountpoint='') ready in 1 seconds on interpreter 0x7 pid: 40 (default app)
a secret that the app logs
spawned uWSGI master process (pid: 40)
spawned uWSGI worker 1 (pid: 41, cores: 2)
running "unix_signal:15 gracefully_kill_them_all" (master-start)...
"""
LOG = FIRST + FIRST.replace("pid: 4", "pid: 5")


@pytest.fixture(scope="module")
def app(redis: RedisServer) -> Flask:
    return make_app(redis, STACK_INSIDE="users")


@pytest.mark.parametrize(("pid", "worker"), [(40, 41), (50, 51)])
def test_the_lines_are_those_of_one_start(pid: int, worker: int) -> None:
    found = start.of_master(pid, LOG.splitlines(keepends=True))
    assert [line.step for line in found] == [*["Setup"] * 3, "App", "Fork", "Fork", "Hooks"]
    assert found[-2].text == f"spawned uWSGI worker 1 (pid: {worker}, cores: 2)"
    assert "secret" not in " ".join(line.text for line in found)


def test_a_log_without_this_start_has_no_lines() -> None:
    assert start.of_master(60, LOG.splitlines()) == ()


def test_without_a_log_the_page_says_where_to_look(app: Flask) -> None:
    page = member(app)[0].get("/inside/start").text
    assert "<code>make logs</code> shows it" in page
    assert "<code>spawned uWSGI worker …</code>" in page


def test_two_masters_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("8", "9", "10"):
        (tmp_path / name).mkdir()
    (tmp_path / "current").symlink_to("9")
    monkeypatch.setenv("APP_RUN", str(tmp_path / "9"))
    monkeypatch.setattr(server, "uwsgi", object())
    assert server.generations() == [
        (8, "finishes its requests"), (9, "serves"), (10, "starts"),
    ]  # fmt: skip


def test_the_page_of_the_next_reload_has_the_grace_period_of_the_server(app: Flask) -> None:
    code = (CHECKOUT / "uwsgi" / "generation.py").read_text(encoding="utf-8")
    grace = re.search(r"^STOP_GRACE_SECONDS = (\d+)$", code, re.MULTILINE)
    page = member(app)[0].get("/inside/reload").text
    assert grace and f"takes longer than {grace[1]} seconds" in page
    assert "generation 2" in page
