"""Each toggle takes effect: uWSGI's start log and its options show the value."""

import math
from pathlib import Path

import pytest

from tests.servers.uwsgi import serving


@pytest.mark.parametrize(
    ("setting", "value", "said", "option", "number"),
    [
        ("STACK_THUNDER_LOCK", "on", "thunder lock: enabled", "thunder_lock", 1),
        ("STACK_THUNDER_LOCK", "FALSE", "thunder lock: disabled", "thunder_lock", 0),
        ("STACK_PROCESSES", "3", "spawned uWSGI worker 3 (pid:", "processes", 3),
        ("STACK_THREADS", "5", "cores: 5)", "threads", 5),
        ("STACK_THREADS", "1", "cores: 1)", "threads", 1),
        ("STACK_LISTEN", "77", "listen backlog is limited to 77 connections", "listen", 77),
        ("STACK_MAX_FD", "512", "detected max file descriptor number: 512", "max_fd", 512),
        ("STACK_HARAKIRI", "7", "", "harakiri", 7),
        ("STACK_MAX_REQUESTS", "1000", "", "max_requests", 1000),
        ("STACK_MAX_WORKER_LIFETIME", "3600", "", "max_worker_lifetime", 3600),
        ("STACK_BUFFER_SIZE", "16384", "", "buffer_size", 16384),
    ],
)
def test_in_force(
    tmp_path: Path, setting: str, value: str, said: str, option: str, number: int
) -> None:
    with serving(tmp_path, **{setting: value}) as server:
        assert said in server.log
        assert server.metric("uwsgi_option", name=option) == number


@pytest.mark.parametrize(("lazy", "loads"), [("on", 3), ("off", 1)])
def test_lazy_apps_sets_how_often_the_app_is_loaded(tmp_path: Path, lazy: str, loads: int) -> None:
    settings = {"STACK_LAZY_APPS": lazy, "STACK_PROCESSES": "3"}
    with serving(tmp_path, **settings) as server:
        assert server.log.count("WSGI app 0 (mountpoint='') ready") == loads
        assert server.metric("uwsgi_option", name="lazy_apps") == (lazy == "on")


def test_threads_without_the_lock_work_too(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_THUNDER_LOCK="off", STACK_THREADS="4") as server:
        assert not math.isnan(server.metric("uwsgi_requests_total", worker="1"))
        assert "thunder lock: disabled" in server.log
