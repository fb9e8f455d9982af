"""Killed or stuck workers, unread bodies and clients that disconnect do not stop the service."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.uwsgi import ask, serving
from tests.waiting import wait_until


@pytest.mark.quiet
@pytest.mark.parametrize("lazy", ["on", "off"])
def test_a_killed_worker_is_replaced_within_a_second(tmp_path: Path, lazy: str) -> None:
    with serving(tmp_path, STACK_LAZY_APPS=lazy) as server:
        seconds = []
        # A busy machine may delay one of them.
        for number in (1, 2, 3):
            old = server.workers()[1]
            begun = time.monotonic()
            os.kill(old, signal.SIGKILL)
            wait_until(lambda old=old: server.workers().get(1, old) not in (0, old))
            seconds.append(time.monotonic() - begun)
            assert server.metric("uwsgi_respawns_total", worker="1") == number
        assert min(seconds) < 1
        assert all(ask(server.port).startswith(b"1 ") for _ in range(20))


def test_all_workers_killed_at_once_while_they_wait_for_the_lock(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_PROCESSES="4", STACK_THREADS="2") as server:
        killed = set(server.workers().values())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not killed & {0, *server.workers().values()})
        assert all(ask(server.port, timeout=10).startswith(b"1 ") for _ in range(20))


def test_harakiri_frees_a_stuck_worker(tmp_path: Path) -> None:
    settings = {"STACK_HARAKIRI": "2", "STACK_THREADS": "1", "STACK_PROCESSES": "1"}
    with serving(tmp_path, **settings) as server:
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            ask(server.port, "/sleep/60", timeout=60)
        assert time.monotonic() - begun < 30
        assert ask(server.port).startswith(b"1 ")
        assert server.metric("uwsgi_harakiri_total", worker="1") == 1


@pytest.mark.parametrize("lazy", ["on", "off"])
def test_harakiri_frees_a_stuck_thread_while_the_others_answer(tmp_path: Path, lazy: str) -> None:
    """uWSGI alone does not: each request that ends clears the deadline of its worker."""
    settings = {"STACK_HARAKIRI": "2", "STACK_THREADS": "2", "STACK_PROCESSES": "1"}
    with (
        serving(tmp_path, **settings, STACK_LAZY_APPS=lazy) as server,
        ThreadPoolExecutor() as pool,
    ):
        begun = time.monotonic()
        stuck = pool.submit(ask, server.port, "/sleep/60", timeout=60)
        while not stuck.done():
            with suppress(ConnectionError, TimeoutError):  # the kill ends all of the worker's
                ask(server.port)
            time.sleep(0.02)
        assert isinstance(stuck.exception(), ConnectionError)
        assert time.monotonic() - begun < 30
        assert ask(server.port).startswith(b"1 ")
        assert server.metric("uwsgi_harakiri_total", worker="1") == 1
        assert "a request has run for 2 s; its thread is at" in server.log
        assert "time.sleep" in server.log


def test_harakiri_leaves_idle_threads_and_ended_requests_alone(tmp_path: Path) -> None:
    settings = {"STACK_HARAKIRI": "1", "STACK_THREADS": "2", "STACK_PROCESSES": "1"}
    with serving(tmp_path, **settings) as server:
        for _ in range(4):
            ask(server.port)
        time.sleep(3)
        assert ask(server.port).startswith(b"1 ")
        assert server.metric("uwsgi_respawns_total", worker="1") == 0


@pytest.mark.parametrize(("size", "limit"), [(50_000, "1"), (1_000_000, "1"), (24 << 20, "24")])
def test_a_body_that_the_app_leaves_unread(tmp_path: Path, size: int, limit: str) -> None:
    with serving(tmp_path, STACK_BODY_LIMIT=limit) as server:
        assert all(ask(server.port, body=b"x" * size).startswith(b"1 ") for _ in range(10))
        assert ask(server.port, "/read", body=b"x" * size) == str(size).encode()


def test_a_client_that_disconnects_is_not_an_error(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        for _ in range(5):
            leaving = socket.create_connection(("127.0.0.1", server.port))
            leaving.sendall(b"\0\x40\0\0" + b"half of a header")
            leaving.close()
        assert ask(server.port).startswith(b"1 ")
        assert "Traceback" not in server.log


def test_workers_of_one_loaded_app_draw_different_random_numbers(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_PROCESSES="4", STACK_LAZY_APPS="off") as server:
        first: dict[bytes, bytes] = {}
        for _ in range(40):
            _, pid, number = ask(server.port).split()
            first.setdefault(pid, number)
        assert len(first) >= 3
        assert len(set(first.values())) == len(first)


def test_the_app_can_log_and_requests_are_not_logged(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ask(server.port, "/say")
        wait_until(lambda: "a line of the app's own" in server.log)
        assert "/say" not in server.log
