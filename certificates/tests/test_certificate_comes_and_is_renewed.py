"""STACK_ACME locally: a first certificate, its renewal under load, and a server that is away.

certbot is Debian's, and the server is pebble, Let's Encrypt's own test server.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from certificates.tests.pebble import Pebble, days_until, issuer, number, pebble
from certificates.tests.visitors import visiting
from stack import ports
from stack.local.runtime import LocalRuntime
from tests.servers.nginx import ask, request
from tests.waiting import wait_until

pytestmark = pytest.mark.acme

NAMES = ("www.stack.test", "stack.test")


@dataclass
class Stack:
    runtime: LocalRuntime
    server: Pebble
    port: int
    tls_port: int

    def served(self) -> str:
        return ssl.get_server_certificate(("127.0.0.1", self.tls_port))

    def metrics(self) -> str:
        port = self.runtime.state().ports["certificates"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def log(self) -> str:
        file = self.runtime.run_dir / "logs" / "certificates.log"
        return file.read_text() if file.exists() else ""

    def ask_for_a_new_one(self) -> None:
        pid = (self.runtime.run_dir / "certificates.pid").read_text()
        os.kill(int(pid), signal.SIGHUP)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("acme")
    port, tls_port = ports.free(), ports.free()
    patch = pytest.MonkeyPatch()
    with pebble(folder / "pebble", port) as server:
        patch.setenv("TLS_WATCH_SECONDS", "0.2")
        settings = {
            "STACK_NAME": "acme-test",
            "STACK_PORT": str(port),
            "STACK_TLS_PORT": str(tls_port),
            "STACK_TLS": "on",
            "STACK_HOSTS": ",".join(NAMES),
            "STACK_ACME": "ops@stack.test",
            "STACK_ACME_SERVER": server.directory,
            "ACME_CA_FILE": str(server.ca_file),  # as a line of .env
            "STACK_PROCESSES": "1",
        }
        runtime = LocalRuntime(settings, run_dir=folder / "run")
        try:
            with runtime:
                yield Stack(runtime, server, port, tls_port)
        finally:
            patch.undo()


@pytest.fixture(scope="module")
def first(stack: Stack) -> str:
    """The first certificate that did not come from nginx itself."""
    wait_until(lambda: "nginx gets a new certificate" in stack.log(), 120)
    wait_until(lambda: "Pebble" in issuer(stack.served()))
    return stack.served()


def test_the_first_certificate_replaces_the_self_signed_one(stack: Stack, first: str) -> None:
    context = ssl.create_default_context(cadata=first)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for name in NAMES:
        with (
            socket.create_connection(("127.0.0.1", stack.tls_port), timeout=20) as connection,
            context.wrap_socket(connection, server_hostname=name),
        ):
            pass
    key = stack.runtime.run_dir / "secrets" / "tls-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for file in (stack.runtime.run_dir / "acme").rglob("privkey*.pem"):
        assert stat.S_IMODE(file.resolve().stat().st_mode) == 0o600
    assert "PRIVATE" not in stack.log()


def test_its_end_is_a_metric(stack: Stack, first: str) -> None:
    metrics = wait_until(lambda: "renewals_total 1" in stack.metrics() and stack.metrics())
    assert days_until(number(metrics, "stack_certificate_not_after_seconds")) > 80
    assert number(metrics, "stack_acme_failing") == 0


def test_challenges_are_answered_over_http_only(stack: Stack, first: str) -> None:
    answers = stack.runtime.run_dir / "acme" / "webroot" / ".well-known" / "acme-challenge"
    (answers / "token").write_text("token.thumbprint")
    try:
        path = "/.well-known/acme-challenge/token"
        over_http = ask(stack.port, request("GET", path, host=NAMES[0]))
        assert (over_http.status, over_http.body) == (200, b"token.thumbprint")
        assert ask(stack.tls_port, request("GET", path, host=NAMES[0]), tls=True).status == 404
        missing = request("GET", "/.well-known/acme-challenge/none", host=NAMES[0])
        assert ask(stack.port, missing).status == 404
        other = request("GET", "/.well-known/other", host=NAMES[0])
        assert ask(stack.port, other).status == 308
    finally:
        (answers / "token").unlink()


def test_a_renewal_refuses_nobody(stack: Stack, first: str) -> None:
    with visiting(stack.tls_port, NAMES[0]) as visits:
        stack.ask_for_a_new_one()
        wait_until(lambda: stack.served() != first, 120)
        before = visits.done
        wait_until(lambda: visits.done > before + 4)
    assert visits.failed == []


def test_a_server_that_is_away_leaves_the_certificate_in_place(stack: Stack, first: str) -> None:
    before = stack.served()
    stack.server.stop()
    try:
        stack.ask_for_a_new_one()
        metrics = wait_until(lambda: "failures_total 1" in stack.metrics() and stack.metrics())
    finally:
        stack.server.start_again()
    assert number(metrics, "stack_acme_failing") == 1
    assert stack.served() == before
    assert "certificates: no new certificate: " in stack.log()
    assert "certificates: the old one stays, valid until 20" in stack.log()


def test_a_file_of_half_a_pair_leaves_the_certificate_in_place(stack: Stack, first: str) -> None:
    before = stack.served()
    key = stack.runtime.run_dir / "secrets" / "tls-key.pem"
    content, log = key.read_bytes(), stack.runtime.run_dir / "logs" / "nginx.log"
    key.write_bytes(b"half")
    wait_until(lambda: "[emerg]" in log.read_text("utf-8", "replace"))
    assert stack.served() == before
    reads = log.read_text("utf-8", "replace").count("nginx reads the new certificate")
    key.write_bytes(content)
    wait_until(lambda: log.read_text().count("nginx reads the new certificate") > reads)
    assert stack.served() == before


def test_the_first_wait_is_for_nginx(tmp_path: Path) -> None:
    from certificates import __main__ as loop
    from certificates.certbot import NotObtainedError
    from certificates.settings import Settings

    port = ports.free()
    settings = Settings(
        mail="ops@stack.test", names=NAMES, server="https://localhost:1/dir",
        certificate=tmp_path / "c.pem", key=tmp_path / "k.pem", state=tmp_path, webroot=tmp_path,
        nginx=("127.0.0.1", port), metrics=("127.0.0.1", ports.free()), ca_file=None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "NGINX_STARTS_WITHIN_S", 0.1)
        with pytest.raises(NotObtainedError, match=f"does not listen at 127.0.0.1:{port}"):
            loop._wait_for_nginx(settings)
