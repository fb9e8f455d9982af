"""With STACK_APP_METRICS=on, /metrics has the app's requests and what the app itself counts.

The workers are preforked, with threads, and are killed and replaced in between.
"""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until

APP = """
import os
import threading

from flask import Flask
from prometheus_client import Counter

application = Flask(__name__)
ORDERS = Counter("shop_orders", "Orders")

@application.get("/")
def index():
    return "ok"

@application.get("/item/<int:number>")
def item(number):
    ORDERS.inc()
    return str(os.getpid())

@application.get("/fails")
def fails():
    raise RuntimeError("on purpose")
"""
ON = {"STACK_APP_METRICS": "on", "STACK_PROCESSES": "2", "STACK_THREADS": "4"}


@pytest.fixture(scope="module", params=["off", "on"], ids=["preforked", "lazy"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    folder = tmp_path_factory.mktemp("app")
    with serving(folder, app=APP, STACK_LAZY_APPS=request.param, **ON) as server:
        yield server


def item_requests(server: Uwsgi) -> float:
    return server.metric("app_requests_total", endpoint="item", status="200")


def visit(server: Uwsgi, number: int) -> None:
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda path: ask(server.port, f"/item/{path}"), range(number)))


def kill_a_worker(server: Uwsgi) -> None:
    worker, pid = next(iter(server.workers().items()))
    os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        with suppress(HTTPError):  # a busy master answers late
            return server.workers().get(worker, pid) not in (pid, 0)
        return False

    wait_until(replaced)


def test_every_request_of_every_thread_counts_even_after_its_worker_died(server: Uwsgi) -> None:
    visit(server, 200)
    kill_a_worker(server)
    visit(server, 100)
    assert item_requests(server) == 300
    assert server.metric("shop_orders_total") == 300
    assert server.metric("app_request_seconds_count", endpoint="item") == 300
    assert server.metric("app_request_seconds_bucket", endpoint="item", le="+Inf") == 300


def test_failures_and_unknown_paths_have_one_series_each(server: Uwsgi) -> None:
    for path in ("/fails", *(f"/nothing/{number}" for number in range(20))):
        with suppress(ConnectionError):
            ask(server.port, path)
    assert server.metric("app_requests_total", endpoint="fails", status="500") == 1
    assert server.metric("app_requests_total", endpoint="-", status="404") == 20
    assert "/nothing" not in server.metrics()


def test_replaced_workers_and_reloads_add_neither_series_nor_files(server: Uwsgi) -> None:
    visit(server, 8)
    before = server.series()
    files = len(list(server.run.rglob("*.db")))
    for _ in range(5):
        kill_a_worker(server)
        visit(server, 8)
    assert len(list(server.run.rglob("*.db"))) == files
    for _ in range(2):
        assert server.reload().returncode == 0
        visit(server, 8)
    assert item_requests(server) == 8, "a generation counts anew, as uwsgi_requests_total does"
    after = {re.sub(r'endpoint="(-|fails)".*', "", one) for one in server.series()}
    assert after <= {re.sub(r'endpoint="(-|fails)".*', "", one) for one in before}


def test_off_is_the_default(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP, STACK_PROCESSES="1") as server:
        visit(server, 8)
        assert "app_request" not in server.metrics()
        assert "shop_orders" not in server.metrics()
        assert not list(server.run.rglob("*.db"))
