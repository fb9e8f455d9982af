"""/metrics reports requests, memory and wake-ups, and does not wake idle workers."""

import http.client
from pathlib import Path

import pytest

from tests.servers.uwsgi import ask, asked, serving
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
