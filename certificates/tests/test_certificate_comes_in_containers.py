"""STACK_ACME in containers: the service is confined, gets the certificate, and nginx serves it.

A renewal restarts no container and refuses nobody.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from certificates.tests.pebble import issuer, pebble
from certificates.tests.visitors import visiting
from stack import ports
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration, docker, execute, gateway
from tests.deploy.test_compose_file_is_hardened import HOLES, RULES, secrets_in_the_open
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.acme]

SETTINGS = {"STACK_TLS": "on", "STACK_HOSTS": "www.stack.test", "STACK_ACME": "ops@stack.test"}


def test_the_service_has_no_more_than_it_needs() -> None:
    service = configuration(ComposeRuntime(SETTINGS))["services"]["certificates"]
    assert [rule for rule, holds in RULES.items() if not holds(service)] == []
    assert [hole for hole in HOLES if service.get(hole)] == []
    assert list(secrets_in_the_open(service)) == []
    assert "ports" not in service
    assert all(mount["type"] == "volume" for mount in service["volumes"])


def test_the_certificate_comes_and_is_renewed(
    another: Callable[..., ComposeRuntime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = gateway()
    port, tls_port = ports.free(), ports.free()
    with pebble(tmp_path / "pebble", port, address) as server:
        server.ca_file.chmod(0o644)
        stack = another(
            **SETTINGS,
            STACK_PORT=str(port),
            STACK_TLS_PORT=str(tls_port),
            STACK_ACME_SERVER=server.directory,
            ACME_CA_FILE=str(server.ca_file),
        )
        image = ""
        try:
            stack.up()
            service = next(c for c in stack.replicas() if c.service == "certificates")
            image = docker("inspect", "--format={{.Config.Image}}", service.id).strip()
            served = lambda: ssl.get_server_certificate(("127.0.0.1", tls_port))  # noqa: E731
            wait_until(lambda: "Pebble" in issuer(served()), 120)
            key = "/secrets/nginx/key.pem"
            assert execute(stack, "certificates", f"stat -c %a {key}").strip() == "600"
            assert execute(stack, "certificates", "id -u").strip() == "10003"
            assert "PRIVATE" not in stack.log("certificates")

            first, before = served(), started(stack)
            with visiting(tls_port, SETTINGS["STACK_HOSTS"]) as visits:
                docker("kill", "--signal=HUP", service.id)
                wait_until(lambda: served() != first, 120)
                done = visits.done
                wait_until(lambda: visits.done > done + 4)
            assert visits.failed == []
            assert "Pebble" in issuer(served())
            assert started(stack) == before
        finally:
            stack.down(volumes=True)
            if image:
                docker("rmi", "--force", image)


def started(stack: ComposeRuntime) -> dict[str, str]:
    """Return when each container was started, by its id."""
    form = "--format={{.State.StartedAt}} {{.RestartCount}}"
    return {one.id: docker("inspect", form, one.id) for one in stack.replicas()}
