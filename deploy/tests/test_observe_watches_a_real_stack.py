"""`make observe` beside a real stack: each metric that an alert or the dashboard names is there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.observe import local
from deploy.observe.local import Observed, observing
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.local.state import State
from tests.waiting import wait_until

pytestmark = pytest.mark.prometheus

HERE = Path(local.__file__).parent
ALERTS = (HERE / "alerts.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((HERE / "dashboard.json").read_text(encoding="utf-8"))
PREFIXES = ("uwsgi", "nginx", "redis", "probe", "app", "instance")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalRuntime]:
    settings = {
        "STACK_PORT": "0",
        "STACK_NAME": "watched",
        "STACK_TLS": "on",
        "STACK_PROCESSES": "2",
        "STACK_APP_METRICS": "on",
        "STACK_LOGIN_RATE": "6",
    }
    with LocalRuntime(settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def watched(stack: LocalRuntime) -> Iterator[Observed]:
    """Prometheus, which all exporters answer, after some requests and refused logins."""
    with observing(stack, interval="1s") as watched:
        wait_until(lambda: {t["health"] for t in targets(watched)} == {"up"}, 20)
        for _ in range(3):
            get(stack, "/")
            post(stack, "/auth/login")

        def seen(rule: str) -> list[dict[str, Any]]:
            get(stack, "/")
            return watched.query(rule)

        # They are ratios of increases, and what a counter has at its first scrape is not one.
        for rule in ("nginx_server_errors:ratio5m", "instance:uwsgi_wakeups_per_request:ratio5m"):
            wait_until(lambda rule=rule: seen(rule), 30)
        yield watched


def targets(watched: Observed) -> list[dict[str, str]]:
    found = watched.api("targets?state=active")["activeTargets"]
    return found if len(found) == 6 else [{"health": "not all"}]


def get(stack: LocalRuntime, path: str) -> None:
    send(stack, urllib.request.Request(f"{base(stack)}{path}"))


def post(stack: LocalRuntime, path: str) -> None:
    send(stack, urllib.request.Request(f"{base(stack)}{path}", data=b"name=x&password=y"))


def base(stack: LocalRuntime) -> str:
    return f"https://127.0.0.1:{stack.running_toggles()['STACK_TLS_PORT']}"


def send(stack: LocalRuntime, request: urllib.request.Request) -> None:
    import ssl

    with suppress(urllib.error.HTTPError):
        unverified = ssl._create_unverified_context()
        urllib.request.urlopen(request, timeout=10, context=unverified).close()


def panels() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def names(expression: str) -> set[str]:
    """The metrics that an expression names, recorded ones included."""
    without_labels = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|on) \([^)]*\)", "", expression)
    words = re.findall(r"[a-z][a-z0-9_:]+", without_labels)
    return {word for word in words if word.split("_")[0].split(":")[0] in PREFIXES}


def expressions() -> list[str]:
    return re.findall(r"expr: (?:>-\n)?((?:.*\n)(?:          .*\n)*)", ALERTS)


def test_every_query_of_the_dashboard_returns_series(watched: Observed) -> None:
    assert len(list(panels())) > 20
    for _, query in panels():
        # A rate needs two scrapes, and a recorded rule needs the rate.
        wait_until(lambda query=query: watched.query(query), 20)


def test_every_metric_of_an_alert_is_scraped(watched: Observed) -> None:
    named = set().union(*(names(expression) for expression in expressions()))
    assert len(named) > 15
    # A scrape that takes longer than the interval of a second leaves out its series once.
    for name in sorted(named):
        wait_until(lambda name=name: watched.query(name), 30)


def test_a_redis_that_hangs_is_down(stack: LocalRuntime, watched: Observed) -> None:
    """Its exporter says so within the 10 s after which Prometheus would give up on the exporter."""
    (address,) = [t["scrapeUrl"] for t in targets(watched) if "redis" in t["scrapePool"]]
    pid = stack.main_pids()["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert "\nredis_up 0\n" in answer.read().decode()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_renewal_of_certificates_is_scraped_with_acme_only(
    stack: LocalRuntime, tmp_path: Path
) -> None:
    state = State.load(stack.run_dir / "state.json")
    assert state is not None
    programs = ("alertmanager", "mtail", "nginx-exporter", "redis-exporter", "blackbox")
    at = dict.fromkeys(programs, "127.0.0.1:1")

    def scraped(mail: str) -> str:
        toggles = {**state.toggles, "STACK_ACME": mail}
        local.write_configuration(tmp_path, replace(state, toggles=toggles), at, "1s")
        subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True)
        return (tmp_path / "prometheus.yml").read_text(encoding="utf-8")

    address = f"127.0.0.1:{state.ports['certificates']}"
    assert address in scraped("ops@example.org")
    assert address not in scraped("")


def test_the_rules_are_evaluated_without_an_error(watched: Observed) -> None:
    groups = watched.api("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def test_requests_are_counted_as_nginx_and_the_app_saw_them(
    stack: LocalRuntime, watched: Observed
) -> None:
    def counted(expression: str) -> float:
        return sum(float(one["value"][1]) for one in watched.query(expression))

    # Prometheus is one scrape behind, so a count "before" could lack earlier requests. No other
    # request has this status.
    for _ in range(7):
        send(stack, urllib.request.Request(f"{base(stack)}/", method="DELETE"))
    for name in ("nginx_requests_total", "app_requests_total"):
        wait_until(lambda name=name: counted(f'{name}{{status="405"}}') == 7, 20)
    # Without a token, or by nginx's limit.
    wait_until(lambda: counted("nginx_logins_total") >= 3, 20)
    assert not watched.query('{__name__=~"nginx_.*",path=~".+"}')


def test_no_series_is_named_by_a_process(watched: Observed) -> None:
    ours = '{job=~"uwsgi|nginx",%s=~".+"}'
    assert [label for label in ("pid", "path", "generation") if watched.query(ours % label)] == []


def test_the_program_says_what_is_missing(
    stack: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.programs.SEARCH_PATH", "/nowhere")
    with pytest.raises(StackError) as refused, observing(stack):
        pass
    assert str(refused.value).startswith("missing: prometheus, ")
    assert "apt-get install --no-install-recommends prometheus " in str(refused.value)


def test_configurations_are_valid() -> None:
    for command in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "alertmanager.yml"],
    ):
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "mail")])
def test_the_example_route_sends_by_severity(severity: str, receiver: str) -> None:
    route = ["amtool", "config", "routes", "test", "--config.file=alertmanager.yml"]
    done = subprocess.run(
        [*route, f"severity={severity}"], cwd=HERE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == receiver
