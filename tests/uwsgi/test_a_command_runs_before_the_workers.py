"""STACK_BEFORE_START runs once before each start, and a failure keeps the app from starting."""

from pathlib import Path

import psutil
import pytest

from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until

APP = """
import os
LOADED_AFTER = open(os.environ["RUNS"]).read()
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [LOADED_AFTER.encode()]
"""


@pytest.mark.parametrize("lazy", ["off", "on"])
def test_it_runs_once_and_before_the_app_is_loaded(tmp_path: Path, lazy: str) -> None:
    with serving(
        tmp_path,
        app=APP,
        RUNS=str(tmp_path / "runs"),
        # Slow, so that workers which do not wait for it would find no file.
        STACK_BEFORE_START='sleep 0.5 && echo "ran: $STACK_APP" >> "$RUNS" && echo its output',
        STACK_LAZY_APPS=lazy,
    ) as server:
        assert ask(server.port) == b"ran: small:application\n"
        assert (tmp_path / "runs").read_text() == "ran: small:application\n"
        assert "its output" in server.log
        assert server.stop() == 0


def test_its_failure_is_shown_and_nothing_starts(tmp_path: Path) -> None:
    server = Uwsgi(tmp_path, STACK_BEFORE_START="echo no such table; exit 3")
    try:
        assert server.process.wait(30) == 23
        assert "no such table\n" in server.log
        assert "STACK_BEFORE_START failed with exit code 3" in server.log
        assert "Starting uWSGI" not in server.log
    finally:
        server.end()


def test_a_reload_runs_it_again_and_its_failure_keeps_the_running_code(tmp_path: Path) -> None:
    with serving(
        tmp_path,
        app=APP,
        RUNS=str(tmp_path / "runs"),
        STACK_BEFORE_START=f'echo run >> "$RUNS"; echo its output; ! test -e {tmp_path}/broken',
    ) as server:
        assert ask(server.port) == b"run\n"
        reloaded = server.reload()
        assert reloaded.returncode == 0, reloaded.stderr
        assert ask(server.port) == b"run\nrun\n"
        (tmp_path / "broken").touch()
        reloaded = server.reload()
        assert reloaded.returncode != 0
        assert "STACK_BEFORE_START failed with exit code 1" in reloaded.stdout + reloaded.stderr
        assert ask(server.port) == b"run\nrun\n", "the app of the second start"
        assert server.stop() == 0


def test_a_stop_ends_it(tmp_path: Path) -> None:
    server = Uwsgi(tmp_path, STACK_BEFORE_START="echo begun; sleep 61.5")
    try:
        wait_until(lambda: "begun" in server.log, 30)
        begun = server.processes()
        assert any("sleep 61.5" in command for command in begun.values()), begun
        server.stop(timeout=20)
        left = [process for process in psutil.process_iter(["cmdline"]) if process.pid in begun]
        assert [p.info for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        server.end()
