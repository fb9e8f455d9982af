"""`make certs`: clients that trust the authority accept this copy; a real certificate stays."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from operate import certs
from operate.one_at_a_time import one_at_a_time
from stack.errors import StackError
from stack.local.runtime import LocalRuntime


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalRuntime]:
    settings = {
        "STACK_PORT": "0",
        "STACK_TLS": "on",
        "STACK_HOSTS": "shop.test,.example.test",
        "STACK_PROCESSES": "1",
    }
    with LocalRuntime(settings) as runtime:
        yield runtime


@pytest.fixture
def here(
    stack: LocalRuntime, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of the authority."""
    checkout = tmp_path_factory.getbasetemp() / "certs"
    monkeypatch.setattr(certs, "CHECKOUT", checkout)
    monkeypatch.setattr(certs, "running", lambda *_: stack)
    return checkout / "run" / stack.name / "authority"


def test_a_client_that_trusts_it_accepts_every_name(
    stack: LocalRuntime, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs.certs({}) == 0
    assert certs.certs({}) == 0, "its own certificate can be replaced"
    assert str(here / "certificate.pem") in capsys.readouterr().out
    assert stat.S_IMODE((here / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(here.stat().st_mode) == 0o700
    assert stat.S_IMODE((stack.run_dir / "secrets/tls-key.pem").stat().st_mode) == 0o600
    context = ssl.create_default_context(cafile=here / "certificate.pem")
    port = int(stack.toggles["STACK_TLS_PORT"])
    for name in ("shop.test", "example.test", "www.example.test", "localhost", "127.0.0.1"):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
            context.wrap_socket(connection, server_hostname=name),
        ):
            pass


def test_a_certificate_of_another_authority_stays(
    stack: LocalRuntime, here: Path, tmp_path: Path
) -> None:
    certs.certs({})
    certs._make_authority(tmp_path / "other", "Somebody Else")
    pair = certs._sign(tmp_path / "other", tmp_path, stack.running_toggles())
    certs.certificates.replace(stack, *map(str, pair), certs.Progress())
    served = (stack.run_dir / "secrets/tls-certificate.pem").read_bytes()
    with pytest.raises(StackError, match="Somebody Else signed: make certs YES=1 replaces it"):
        certs.certs({})
    assert (stack.run_dir / "secrets/tls-certificate.pem").read_bytes() == served
    assert certs.certs({"YES": "1"}) == 0


def test_not_beside_a_command_that_reads_or_writes_them(stack: LocalRuntime, here: Path) -> None:
    certs.certs({})
    served = (stack.run_dir / "secrets/tls-certificate.pem").read_bytes()
    with one_at_a_time(stack), pytest.raises(StackError, match="another backup, deploy, restore"):
        certs.certs({})
    assert (stack.run_dir / "secrets/tls-certificate.pem").read_bytes() == served
