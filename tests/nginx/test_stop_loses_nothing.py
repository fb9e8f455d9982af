"""SIGQUIT lets responses in flight finish, refuses new connections and exits with 0."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.servers.nginx import PATIENCE, Answer, Nginx, listens, stack_behind_nginx
from tests.servers.uwsgi import Uwsgi
from tests.waiting import wait_until


def in_flight(server: Nginx, app: Uwsgi, path: str) -> tuple[threading.Thread, list[Answer]]:
    """Send a request and wait until the app handles it."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(server.get(path)))
    thread.start()
    wait_until(lambda: sum(app.busy_threads().values()) == 1)
    return thread, answers


def test_a_request_in_flight_finishes(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path) as (server, app):
        thread, answers = in_flight(server, app, "/sleep?6")
        server.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: not listens("127.0.0.1", server.port))
        assert not answers, "the request ended before the stop, so the test shows nothing"
        assert server.process.wait(PATIENCE) == 0
        thread.join(PATIENCE)
        assert answers[0].status == 200
        assert server.access("/sleep")["status"] == 200


def test_an_idle_connection_does_not_delay_the_stop(tmp_path: Path) -> None:
    import socket

    with (
        stack_behind_nginx(tmp_path) as (server, _),
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as idle,
    ):
        idle.sendall(b"GET /up HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.process.send_signal(signal.SIGQUIT)
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 10, "keepalive_timeout is 30 s"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_other_signals_stop_at_once(tmp_path: Path, stop: signal.Signals) -> None:
    with stack_behind_nginx(tmp_path) as (server, app):
        thread, answers = in_flight(server, app, "/sleep?15")
        server.process.send_signal(stop)
        assert server.process.wait(10) == 0
        thread.join(PATIENCE)
        assert answers[0].status == 0


def test_it_starts_in_the_same_directory_after_a_kill(tmp_path: Path) -> None:
    """A killed nginx leaves its pid file and links behind, and supervisord restarts it at once."""
    with stack_behind_nginx(tmp_path) as (server, _):
        import psutil

        workers = psutil.Process(server.process.pid).children()
        server.process.kill()
        server.process.wait(PATIENCE)
        for worker in workers:
            worker.kill()
    with stack_behind_nginx(tmp_path) as (server, _):
        assert server.get("/up").status == 200
