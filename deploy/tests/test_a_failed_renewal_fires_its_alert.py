"""ACME's figures from pebble to the alert: a renewal fails, Prometheus fires, and it ends."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.observe import local
from deploy.observe.local import Observed, observing
from stack import ports
from stack.local.runtime import LocalRuntime
from tests.waiting import wait_until

pytestmark = [pytest.mark.acme, pytest.mark.prometheus]

ALERT = "CertificateNotRenewed"
# conftest.py leaves this file out where there is no certificates/.
acme = import_module("certificates.tests.pebble")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, int]]:
    port = ports.free()
    with acme.pebble(tmp_path_factory.mktemp("acme") / "pebble", port) as server:
        yield server, port


@pytest.fixture(scope="module")
def stack(
    server: tuple[Any, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalRuntime]:
    settings = {
        "STACK_NAME": "acme-watched",
        "STACK_PORT": str(server[1]),
        "STACK_TLS_PORT": str(ports.free()),
        "STACK_TLS": "on",
        "STACK_HOSTS": "www.stack.test",
        "STACK_ACME": "ops@stack.test",
        "STACK_ACME_SERVER": server[0].directory,
        "STACK_PROCESSES": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_CA_FILE", str(server[0].ca_file))
        patch.setenv("TLS_WATCH_SECONDS", "0.2")
        with LocalRuntime(settings, run_dir=tmp_path_factory.mktemp("stack") / "run") as stack:
            yield stack


@pytest.fixture(scope="module")
def watched(stack: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Prometheus with the shipped rules, of which only the time of the alert is shorter."""
    folder = tmp_path_factory.mktemp("observe") / "files"
    shutil.copytree(local.HERE, folder)
    alerts = folder / "alerts.yml"
    before, name, after = alerts.read_text(encoding="utf-8").partition(f"alert: {ALERT}\n")
    assert "for: 16m" in after.partition("- alert: ")[0]
    alerts.write_text(before + name + after.replace("for: 16m", "for: 2s", 1), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "HERE", folder)
        with observing(stack, interval="1s") as watched:
            yield watched


def value(watched: Observed, metric: str) -> float:
    (series,) = wait_until(lambda: watched.query(metric), 30)
    return float(series["value"][1])


def states(watched: Observed) -> set[str]:
    """The states of the alert: pending, firing, or none."""
    found = watched.api("alerts")["alerts"]
    return {alert["state"] for alert in found if alert["labels"]["alertname"] == ALERT}


def ask_for_a_new_one(stack: LocalRuntime) -> None:
    os.kill(int((stack.run_dir / "certificates.pid").read_text()), signal.SIGHUP)


def test_it_fires_while_renewals_fail(
    server: tuple[Any, int], stack: LocalRuntime, watched: Observed, tmp_path: Path
) -> None:
    wait_until(lambda: value(watched, "stack_acme_renewals_total") == 1, 120)
    assert value(watched, "stack_acme_failing") == 0
    end = value(watched, "stack_certificate_not_after_seconds")
    assert acme.days_until(end) > 80 and states(watched) == set()

    # Pebble forgets its accounts when it restarts, so certbot must not trust it instead.
    trusted = server[0].ca_file.read_bytes()
    other, _ = acme.self_signed(tmp_path, "DNS:else.test")
    server[0].ca_file.write_bytes(other.read_bytes())
    ask_for_a_new_one(stack)
    wait_until(lambda: states(watched) == {"firing"}, 120)
    assert value(watched, "stack_acme_failures_total") == 1
    # nginx goes on with the certificate that it has.
    assert value(watched, "stack_certificate_not_after_seconds") == end
    wait_until(lambda: value(watched, 'probe_success{job="tls"}') == 1)

    server[0].ca_file.write_bytes(trusted)
    ask_for_a_new_one(stack)
    wait_until(lambda: value(watched, "stack_acme_renewals_total") == 2, 120)
    wait_until(lambda: states(watched) == set())
