"""The number of series does not depend on how often workers and generations were replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.uwsgi import Uwsgi, ask, serving
from tests.waiting import wait_until

APP = """
import time

from flask import Flask
from prometheus_client import Counter, Gauge

application = Flask(__name__)
ORDERS = Counter("shop_orders", "Orders")
BASKETS = Gauge("shop_baskets", "Baskets; it has a series for each worker")

@application.get("/")
def index():
    ORDERS.inc()
    BASKETS.set(1)
    time.sleep(0.1)  # so that the next request is for another worker
    return "ok"
"""
WORKERS = 10


def test_respawns_and_swaps_add_no_series(tmp_path: Path) -> None:
    """All workers are killed, and then the master is replaced.

    SWAPS=100 repeats it as often: 1,000 respawns. STACK_APP_METRICS is on.
    """
    swaps = int(os.environ.get("SWAPS", "2"))
    shape = {"STACK_PROCESSES": str(WORKERS), "STACK_THREADS": "1", "STACK_APP_METRICS": "on"}
    respawns = 0.0
    with serving(tmp_path, app=APP, **shape) as server:
        first = visited(server)
        every = set(first)
        for _ in range(swaps):
            kill_all_workers(server)
            every |= visited(server)
            respawns += sum(
                server.metric("uwsgi_respawns_total", worker=str(worker))
                for worker in range(1, WORKERS + 1)
            )
            assert server.reload().returncode == 0, server.log
            every |= visited(server)
        assert server.metric("uwsgi_generation") == swaps + 1
    print(f"{len(first)} series; {len(every)} after {respawns:.0f} respawns and {swaps} swaps")
    assert respawns == swaps * WORKERS
    assert every == first
    assert len(first) > WORKERS * 12


def visited(server: Uwsgi) -> set[str]:
    """The series when every worker has answered a request."""

    def answered() -> bool:
        with ThreadPoolExecutor(WORKERS) as clients:
            list(clients.map(lambda _: ask(server.port), range(2 * WORKERS)))
        # The master has one too: it created the gauge before it forked.
        baskets = sum(one.startswith("shop_baskets{") for one in server.series())
        return baskets == WORKERS + 1

    wait_until(answered)
    return server.series()


def kill_all_workers(server: Uwsgi) -> None:
    killed = set(server.workers().values())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        idle = server.metric("uwsgi_workers", state="idle")
        return idle == WORKERS and not killed & set(server.workers().values())

    wait_until(replaced)


def test_a_failed_reload_shows_until_one_succeeds(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_PROCESSES="1") as server:
        failed = failed_reload(server)
        app = tmp_path / "small.py"
        good = app.read_text()
        assert failed() == 0
        app.write_text("raise RuntimeError('on purpose')")
        assert server.reload().returncode != 0
        assert failed() == 1
        app.write_text(good)
        assert server.reload().returncode == 0
        assert failed() == 0


def failed_reload(server: Uwsgi) -> Callable[[], float]:
    return lambda: server.metric("uwsgi_reload_failed")
