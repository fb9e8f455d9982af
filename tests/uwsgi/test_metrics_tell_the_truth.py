"""/metrics reports requests, memory and wake-ups, and does not wake idle workers."""

import http.client
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.foreign_apps import failing
from tests.servers.uwsgi import Uwsgi, ask, asked, serving
from tests.waiting import wait_until, wait_until_steady


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_counters_and_memory(tmp_path: Path, lazy: str) -> None:
    with serving(tmp_path, STACK_LAZY_APPS=lazy) as server:

        def total(name: str) -> float:
            return sum(server.metric(name, worker=str(worker)) for worker in server.workers())

        # uWSGI counts a request after its answer.
        requests = wait_until_steady(lambda: total("uwsgi_requests_total"))
        cpu = total("uwsgi_worker_cpu_seconds_total")
        switches = total("uwsgi_worker_voluntary_switches_total")
        for _ in range(100):
            ask(server.port)
        assert wait_until_steady(lambda: total("uwsgi_requests_total")) == requests + 100
        assert 0 < total("uwsgi_worker_cpu_seconds_total") - cpu < 5
        assert total("uwsgi_worker_voluntary_switches_total") - switches >= 50
        for worker, pid in server.workers().items():
            pss = server.metric("uwsgi_worker_pss_bytes", worker=str(worker))
            uss = server.metric("uwsgi_worker_uss_bytes", worker=str(worker))
            assert 0 < uss <= pss < 200e6
            assert Path(f"/proc/{pid}").exists()


def test_the_listen_queue_is_reported(tmp_path: Path) -> None:
    settings = {"STACK_PROCESSES": "1", "STACK_THREADS": "1"}
    with serving(tmp_path, **settings) as server, asked(3, server.port, "/sleep/0.5"):

        def seen() -> tuple[float, float]:
            return server.metric("uwsgi_listen_queue"), server.metric("uwsgi_workers", state="busy")

        wait_until(lambda: seen() == (2, 1))


def test_an_idle_worker_does_not_wake_up(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        names = [str(worker) for worker in server.workers()]

        def switches() -> float:
            return sum(
                server.metric("uwsgi_worker_voluntary_switches_total", worker=name)
                for name in names
            )

        # Also on a busy machine, where the start takes longer.
        wait_until_steady(switches, 2)


def test_only_get_metrics_is_served(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for method, path, status in (
            ("GET", "/metrics", 200),
            ("GET", "/", 404),
            ("POST", "/metrics", 501),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=10)
            connection.request(method, path)
            assert connection.getresponse().status == status
            connection.close()


FLASK_APP = """
from flask import Flask

application = Flask(__name__)

@application.get("/")
def index():
    return "ok"

@application.get("/fails")
def fails():
    raise RuntimeError("on purpose")

@application.get("/passed-on")
def passed_on():
    application.config["PROPAGATE_EXCEPTIONS"] = True
    raise RuntimeError("on purpose, to the server")

@application.get("/handled")
def handled():
    raise KeyError("on purpose, with a handler")

@application.errorhandler(KeyError)
def answer(error):
    return "sorry", 500
"""
WRAPPED = (
    FLASK_APP + "\nflask_app = application\napplication = lambda *request: flask_app(*request)"
)


def exceptions(server: Uwsgi) -> list[float]:
    name = "uwsgi_exceptions_total"
    return [server.metric(name, worker=str(worker)) for worker in server.workers()]


def try_to_ask(server: Uwsgi, path: str) -> None:
    with suppress(ConnectionError):  # no status of 200
        ask(server.port, path)


@pytest.mark.parametrize("lazy", ["on", "off"])
@pytest.mark.parametrize("app", [FLASK_APP, WRAPPED], ids=["flask", "wrapped"])
def test_exceptions_that_become_a_500_are_counted(tmp_path: Path, lazy: str, app: str) -> None:
    with serving(tmp_path, app=app, STACK_LAZY_APPS=lazy, STACK_PROCESSES="2") as server:
        for path in ["/", "/handled", "/nowhere"] * 3:
            try_to_ask(server, path)
        assert exceptions(server) == [0, 0]
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: try_to_ask(server, "/fails"), range(100)))
        assert sum(exceptions(server)) == 100
        try_to_ask(server, "/passed-on")
        assert sum(exceptions(server)) == 101, "not twice"


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_exceptions_outside_of_the_apps_error_handling_are_counted(
    tmp_path: Path, lazy: str
) -> None:
    app = Path(failing.__file__).read_text(encoding="utf-8")
    settings = {"STACK_LAZY_APPS": lazy, "STACK_PROCESSES": "2"}
    with serving(tmp_path, app=app, **settings) as server:
        paths = ["/raise", "/exit", "/silent", "/header", "/rows/0/raise", "/rows/100/raise"]
        for number, path in enumerate([*paths, "/close"], 1):
            try_to_ask(server, path)
            wait_until(lambda number=number: sum(exceptions(server)) == number)
        before = server.workers()
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(before.values()) & set(server.workers().values()))
        try_to_ask(server, "/raise")
        wait_until(lambda: sum(exceptions(server)) == number + 1)
        server.reload()
        assert sum(exceptions(server)) == 0, "of the generation that serves"
