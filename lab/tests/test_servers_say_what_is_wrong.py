"""The options that servers report are parsed, and each difference from the request is a line."""

import pytest

import toggles
from lab.measure import server_options as servers
from lab.plan.servers import SERVERS

METRICS = """\
# HELP uwsgi_option Options as uWSGI read them; on is 1, off is 0
# TYPE uwsgi_option gauge
uwsgi_option{name="thunder_lock"} 1.0
uwsgi_option{name="lazy_apps"} 0.0
uwsgi_option{name="processes"} 4.0
uwsgi_option{name="threads"} 2.0
uwsgi_option{name="listen"} 1024.0
uwsgi_option{name="harakiri"} 30.0
uwsgi_option{name="max_requests"} 0.0
uwsgi_option{name="max_worker_lifetime"} 0.0
uwsgi_option{name="buffer_size"} 32768.0
uwsgi_option{name="max_fd"} 4096.0
uwsgi_option{name="master"} 1.0
uwsgi_requests_total{worker="1"} 12.0
uwsgi_requests_total{worker="2"} 1.200003e+06
"""

LOG = """\
*** Starting uWSGI 2.0.31 (64bit) on [Sat Nov 21 07:00:00 2026] ***
thunder lock: enabled
spawned uWSGI master process (pid: 10)
spawned uWSGI worker 1 (pid: 11, cores: 2)
spawned uWSGI worker 2 (pid: 13, cores: 2)
spawned uWSGI worker 3 (pid: 15, cores: 2)
spawned uWSGI worker 4 (pid: 17, cores: 2)
"""

DEFAULTS = toggles.read({"STACK_PROCESSES": "4", "STACK_THREADS": "2"})


def wrong(log: str = LOG, metrics: str = METRICS, **asked: str) -> list[str]:
    options = servers.uwsgi_options(metrics, log)
    return servers.uwsgi_disagreements({**DEFAULTS, **asked}, options)


def test_matching_options_are_not_reported() -> None:
    assert wrong() == []
    assert servers.uwsgi_options(METRICS, LOG)["version"] == "2.0.31"


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"STACK_HARAKIRI": "20"}, "STACK_HARAKIRI: asked 20, the server reports 30"),
        ({"STACK_LAZY_APPS": "on"}, "STACK_LAZY_APPS: asked on, the server reports off"),
    ],
)
def test_another_value_is_reported(asked: dict[str, str], line: str) -> None:
    assert wrong(**asked) == [line]


def test_the_log_is_checked_too() -> None:
    """uWSGI may read an option without applying it."""
    assert wrong(LOG.replace("lock: enabled", "lock: disabled")) == [
        "STACK_THUNDER_LOCK: asked on, the server's log reports off"
    ]
    assert wrong(LOG.replace("cores: 2", "cores: 1")) == [
        "STACK_THREADS: asked 2, the server's log reports 1"
    ]


def test_an_option_that_is_not_reported_is_a_difference() -> None:
    assert wrong(metrics=METRICS.replace("thunder_lock", "thunder")) == [
        "STACK_THUNDER_LOCK: asked on, the server does not report it"
    ]


def test_counts_are_read_by_worker() -> None:
    found = servers.uwsgi_by_worker(METRICS, "uwsgi_requests_total")
    assert found == {1: 12, 2: 1200003}


def test_a_server_without_options_is_judged_by_its_processes_and_its_command_line() -> None:
    asked = toggles.read({"STACK_PROCESSES": "4", "STACK_THREADS": "2"})
    good = {"workers": "4", "threads": "2", "listening": "Listening at: http://127.0.0.1:1"}
    gthread, sync = SERVERS["gunicorn-gthread"], SERVERS["gunicorn-sync"]
    assert servers.other_disagreements(gthread, asked, good) == []
    assert servers.other_disagreements(gthread, asked, {**good, "workers": "3"}) == [
        "workers: asked 4, 3 run"
    ]
    # A process per slot: eight with one thread.
    assert servers.other_disagreements(sync, asked, good) == [
        "workers: asked 8, 4 run",
        "threads: asked 1, the server has 2",
    ]
    assert servers.other_disagreements(gthread, asked, {"workers": "4"}) == [
        "threads: asked 2, the server has ?",
        "listening: the server's log has no line for it",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-21 06:59:23 +0000] [9155] [INFO] Listening at: http://127.0.0.1:20696 (9155)",
        '{"event": "Serving on http://127.0.0.1:23505", "level": "info"}',
        " * Running on http://127.0.0.1:31559",
    ],
)
def test_the_line_with_the_address_is_found(line: str) -> None:
    assert servers.listening(f"starting\n{line}\nready\n") == line.strip()


def test_every_server_has_its_command() -> None:
    for server in SERVERS.values():
        assert server.name.split("-")[0].removesuffix("-dev") in server.command() or (
            server.name == "flask-dev" and "development" in server.command()
        )
        assert not server.command().startswith("exec")
        assert server.keep_alive and server.note
