"""What an app does elsewhere it can do here, or uWSGI refuses to start and says why."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign_apps import forking
from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until

SOURCE = Path(forking.__file__)
APP = SOURCE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uwsgi]:
    with serving(tmp_path_factory.mktemp("forking"), app=APP, STACK_PROCESSES="3") as server:
        yield server


def refused(folder: Path, **environ: str) -> str:
    """Start the app and return the log of a uWSGI that ended with 22."""
    server = Uwsgi(folder, app=APP, **environ)
    try:
        wait_until(lambda: server.process.poll() is not None, 30)
        assert server.process.returncode == 22
        return server.log
    finally:
        server.end()


def test_a_file_is_sent_from_where_the_app_has_left_it(server: Uwsgi) -> None:
    assert ask(server.port, "/file") == APP.encode()[4:]


def test_workers_draw_different_numbers(server: Uwsgi) -> None:
    drawn: dict[str, list[str]] = {}

    def all_workers_answered() -> bool:
        pid, *numbers = ask(server.port, "/random").decode().split()
        drawn.setdefault(pid, numbers)
        return len(drawn) == 3

    wait_until(all_workers_answered, 30)
    for numbers in zip(*drawn.values(), strict=True):
        assert len(set(numbers)) == 3


def test_sys_executable_is_a_python(server: Uwsgi) -> None:
    assert ask(server.port, "/python") == b"a Python\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.UTF-8"])
def test_text_files_are_utf8_in_every_locale(tmp_path: Path, locale: str) -> None:
    with serving(tmp_path, app=APP, LC_ALL=locale) as server:
        assert ask(server.port, "/encoding") == b"utf-8 utf-8"


def test_a_spawned_pool_works(server: Uwsgi) -> None:
    assert ask(server.port, "/spawn") == b"[3]"


def test_a_program_of_the_app_holds_no_answer(server: Uwsgi) -> None:
    started = time.monotonic()
    assert len(ask(server.port, "/linger")) == 100_000
    assert time.monotonic() - started < 15, "the answer ended with the program, after 25 s"


def test_a_program_of_the_app_holds_no_stop(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP) as server:
        ask(server.port, "/linger")
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 15
        # The port is free again: the program does not hold the listening socket.
        socket.create_server(("127.0.0.1", server.port)).close()


def test_a_connection_at_import_is_refused_by_its_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        log = refused(tmp_path, CONNECT_TO=where)
    assert f"opened a connection to {where}, which forked workers would share" in log
    assert "STACK_LAZY_APPS=on" in log


def test_an_event_loop_at_import_is_refused(tmp_path: Path) -> None:
    assert "opened an event loop (epoll), which" in refused(tmp_path, EVENT_LOOP="yes")


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("limits.storage.memory", "give Flask-Limiter a storage_uri"),
        ("apscheduler.schedulers.base", "run the scheduler as a program of its own"),
        ("shop.timers", "start them at the first request"),
    ],
)
def test_a_timer_at_import_is_refused_with_its_librarys_remedy(
    tmp_path: Path, library: str, remedy: str
) -> None:
    log = refused(tmp_path, TIMER=library)
    assert f"of {library}), which do not exist in forked workers: {remedy}" in log


@pytest.mark.parametrize("cause", ["connection", "thread"])
def test_auto_loads_such_an_app_lazily_and_says_so(tmp_path: Path, cause: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        made = {"CONNECT_TO": where} if cause == "connection" else {"TIMER": "shop.timers"}
        with serving(tmp_path, app=APP, STACK_LAZY_APPS="auto", **made) as server:
            assert ask(server.port) == b"fine"
            assert server.log.count("STACK_LAZY_APPS=auto is on, because loading small:app") == 1
            assert server.reload().returncode == 0
            assert ask(server.port) == b"fine"
            assert server.stop() == 0


def test_auto_preforks_an_app_that_can_be_forked(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP, STACK_LAZY_APPS="auto") as auto:
        assert "auto is on" not in auto.log
        said = f"STACK_APP=small:application is in {tmp_path}/small.py"
        assert auto.log.count(said) == 1, "the master has loaded it, once"


def test_each_worker_may_connect_for_itself(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        with serving(tmp_path, app=APP, CONNECT_TO=where, STACK_LAZY_APPS="on") as server:
            assert ask(server.port) == b"fine"
