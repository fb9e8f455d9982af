"""The overlay's containers are confined like the stack's own, and Prometheus reaches them all."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from deploy.observe import local
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration, docker, inspect
from tests.deploy.test_compose_file_is_hardened import HOLES, RULES, secrets_in_the_open
from tests.waiting import wait_until

pytestmark = pytest.mark.containers

OVERLAY = Path(local.__file__).with_name("compose.yml")
COMPOSE_FILE = {"COMPOSE_FILE": "docker-compose.yml:deploy/observe/compose.yml"}
SERVICES = {"prometheus", "alertmanager", "mtail", "nginx-exporter", "redis-exporter", "blackbox"}


def test_make_up_reads_the_overlay_from_compose_file() -> None:
    assert configuration(ComposeRuntime(COMPOSE_FILE))["services"].keys() >= SERVICES
    # Another project's, in somebody's shell.
    other = ComposeRuntime({"COMPOSE_FILE": "compose.yml:deploy/observe/compose.yml"})
    assert not SERVICES & configuration(other)["services"].keys()


def test_its_services_have_no_more_than_they_need() -> None:
    rendered = configuration(ComposeRuntime(COMPOSE_FILE))
    for name in SERVICES:
        service = rendered["services"][name]
        assert [rule for rule, holds in RULES.items() if not holds(service)] == [], name
        assert [hole for hole in HOLES if service.get(hole)] == [], name
        assert list(secrets_in_the_open(service)) == [], name
        assert all(mount["type"] == "volume" for mount in service.get("volumes", [])), name
        ports = [(port["host_ip"], port["target"]) for port in service.get("ports", [])]
        wanted = {"prometheus": [("127.0.0.1", 9090)], "alertmanager": [("127.0.0.1", 9093)]}
        assert ports == wanted.get(name, []), name
        out = {"prometheus", "alertmanager"}
        internal = [rendered["networks"][each].get("internal") for each in service["networks"]]
        # blackbox reaches nginx where clients do.
        assert all(internal) or name in {*out, "blackbox"}, name


def test_prometheus_reaches_all_of_them(another: Callable[..., ComposeRuntime]) -> None:
    ports = {"PROMETHEUS_PORT": "0", "ALERTMANAGER_PORT": "0"}
    stack = another(files=[OVERLAY], STACK_TLS="off", **ports)
    try:
        stack.up()
        assert {user(stack, name) for name in SERVICES} == {"10005:10005"}
        address = stack.compose("port", "prometheus", "9090").strip()
        assert address.startswith("127.0.0.1:")

        def query(expression: str) -> list[dict[str, Any]]:
            url = f"http://{address}/api/v1/query?query={quote(expression)}"
            with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
            return []  # Prometheus is not ready yet

        for _ in range(3):
            urllib.request.urlopen(stack.address(), timeout=10).close()
        # Not tls: nothing listens there.
        wait_until(lambda: len(query("up == 1")) == 6, 60)
        wait_until(lambda: query('nginx_requests_total{status="200"} >= 3'), 60)
        # An exporter may have been scraped before what it watches was up. The next scrape is later.
        for expression in (
            "redis_up == 1",
            "nginx_connections_accepted >= nginx_connections_handled",
            'probe_success{job="http"} == 1',
            "uwsgi_requests_total",
        ):
            wait_until(lambda expression=expression: query(expression))
        managers = f"http://{address}/api/v1/alertmanagers"
        with urllib.request.urlopen(managers, timeout=10) as answer:
            assert len(json.load(answer)["data"]["activeAlertmanagers"]) == 1
    finally:
        image = inspect(stack, "mtail")["Config"]["Image"]
        stack.down(volumes=True)
        docker("image", "rm", image)


def user(stack: ComposeRuntime, service: str) -> str:
    return inspect(stack, service)["Config"]["User"]
