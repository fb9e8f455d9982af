"""`make rotate` replaces a secret while people use the stack: no request fails, nobody has to log
in again, and afterwards the old secret is worth nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from operate import certificates, secret_files
from operate.rotate import TASKS
from operate.tests.people import Member, asking
from stack import ports
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.progress import Progress
from tests.people.over_http import _Forms
from tests.stack.checkouts import Commands
from tests.waiting import wait_until


def rotate(copy: Commands, *arguments: str) -> str:
    done = copy.make("rotate", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(copy: Commands, *arguments: str) -> str:
    done = copy.make("rotate", *arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr


def secret(copy: Commands, name: str) -> Path:
    return copy.run_dir / "secrets" / name


def logged_in_as(copy: Commands, password: str, user: str = "app") -> bool:
    socket = str(copy.run_dir / "redis.sock")
    with redis.Redis(unix_socket_path=socket, username=user, password=password) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


def test_the_session_key(copy: Commands) -> None:
    member, other = Member(copy.url), Member(copy.url)
    page = other.get("/auth/password")
    key = secret(copy, "secret-key")
    old = key.read_text()

    with asking(member) as statuses:
        said = rotate(copy, "WHAT=secret-key")
    assert len(statuses) > 20 and set(statuses) == {200}
    assert "The old one verifies for 8 h" in said
    assert key.read_text() != old and len(key.read_text()) == 64
    assert old in secret(copy, "secret-key.fallbacks").read_text().split()
    for name in ("secret-key", "secret-key.fallbacks"):
        assert secret(copy, name).stat().st_mode & 0o777 == 0o600
    assert not secret(copy, "secret-key.next").exists()

    # A form that was opened before is accepted after: its token was signed by the old key.
    (form,) = [form for form in _forms(page.text) if "repeated" in form.fields]
    new = "a new pass phrase of some length"
    typed = {"current": other.password, "password": new, "repeated": new}
    sent = {**form.fields, **{name: typed[name] for name in form.fields if name in typed}}
    assert other.post("/auth/password", sent, Referer=page.url).status == 200
    assert other.is_logged_in

    assert "sessions may need the older key for 7 h" in refused(copy, "WHAT=secret-key", "DROP=yes")
    nine_hours_ago = time.time() - 9 * 3600
    os.utime(key, (nine_hours_ago, nine_hours_ago))
    with asking(other) as statuses:
        assert "older session keys are gone" in rotate(copy, "WHAT=secret-key", "DROP=yes")
    # This session is of the new key: its password was changed after the rotation.
    assert set(statuses) == {200}
    assert not secret(copy, "secret-key.fallbacks").exists()
    assert not member.is_logged_in
    assert "there is no older session key" in refused(copy, "WHAT=secret-key", "DROP=yes")


def _forms(text: str) -> list:
    parser = _Forms()
    parser.feed(text)
    return parser.found


@pytest.mark.parametrize("switched", [False, True])
def test_an_interrupted_rotation_of_the_key_is_taken_up(copy: Commands, switched: bool) -> None:
    member = Member(copy.url)
    key, pending = secret(copy, "secret-key"), "f" * 60 + f"{switched:04}"
    old = key.read_text()
    secret(copy, "secret-key.next").write_text(pending)
    secret(copy, "secret-key.fallbacks").write_text(f"{old}\n{pending}\n")
    if switched:
        key.write_text(pending)
    assert "a rotation was interrupted" in refused(copy, "WHAT=secret-key", "DROP=yes")
    with asking(member) as statuses:
        rotate(copy, "WHAT=secret-key")
    assert set(statuses) == {200}
    assert key.read_text() == pending and not secret(copy, "secret-key.next").exists()


def test_keys_do_not_become_many(copy: Commands) -> None:
    fallbacks = secret(copy, "secret-key.fallbacks")
    before = fallbacks.read_text()
    fallbacks.write_text("".join(f"{letter * 64}\n" for letter in "abc"))
    secret(copy, "secret-key").touch()
    said = refused(copy, "WHAT=secret-key")
    assert re.search("4 keys are needed by sessions, the newest for (7 h 59|8 h 0) min", said)
    fallbacks.write_text(before)


def test_redis_password(copy: Commands) -> None:
    member = Member(copy.url)
    file = secret(copy, "redis-password")
    old = file.read_text()
    with asking(member) as statuses:
        rotate(copy, "WHAT=redis-password")
    assert len(statuses) > 20 and set(statuses) == {200}
    new = file.read_text()
    assert new != old and file.stat().st_mode & 0o777 == 0o600
    for user in ("app", "monitor"):
        assert logged_in_as(copy, new, user) and not logged_in_as(copy, old, user)
    # An interrupted one, after Redis has the new password and before the app has.
    file.with_name("redis-password.next").write_text("a" * 64)
    rotate(copy, "WHAT=redis-password")
    assert file.read_text() == "a" * 64
    assert logged_in_as(copy, "a" * 64) and not logged_in_as(copy, new)
    assert not file.with_name("redis-password.next").exists()
    assert member.is_logged_in
    assert copy.make("status").returncode == 0


def test_the_secrets_are_printed_nowhere(copy: Commands) -> None:
    out = copy.make("rotate", "WHAT=redis-password").stdout + copy.make("logs").stdout
    for name in ("secret-key", "redis-password"):
        assert secret(copy, name).read_text() not in out
    assert not re.search("[0-9a-f]{64}", out)


def test_what_must_be_known(copy: Commands) -> None:
    said = refused(copy)
    assert "WHAT='' must be one of secret-key, redis-password, tls" in said
    assert "STACK_TLS is off" in refused(copy, "WHAT=tls")


@pytest.mark.containers
def test_in_containers(another: Callable[..., ComposeRuntime], tmp_path: Path) -> None:
    stack = another(STACK_TLS="on", STACK_TLS_PORT=str(ports.free()), STACK_LOGIN_RATE="0")
    stack.up()
    member = Member(stack.address())
    names = ("secret-key", "redis-password", "tls-certificate.pem")
    before = [secret_files.read(stack, name) for name in names]
    certificate, key = pair(tmp_path, "new", "DNS:shop.example")
    with asking(member) as statuses:
        for what in TASKS:
            TASKS[what](stack, {"CERT": str(certificate), "KEY": str(key)}, Progress())
    assert len(statuses) > 20 and set(statuses) == {200}
    assert not {*before} & {secret_files.read(stack, name) for name in names}
    assert before[0] in secret_files.read(stack, "secret-key.fallbacks").split()
    with pytest.raises(StackError, match="No such file"):
        stack.compose("exec", "-T", "app", "cat", "/tmp/redis/operator")
    # Each start finds the new ones, with the modes that the services need.
    stack.compose("restart")
    wait_until(stack.is_up)
    assert member.is_logged_in


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


def pair(folder: Path, name: str, hosts: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
    files = ["-keyout", key, "-out", certificate]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={hosts}"]
    subprocess.run([*make.split(), *files, *names], check=True, capture_output=True)
    return certificate, key


def expired(folder: Path, certificate: Path, key: Path) -> tuple[Path, Path]:
    old = folder / "old.pem"
    command = ["openssl", "x509", "-in", certificate, "-signkey", key, "-days", "-1", "-out", old]
    subprocess.run(command, check=True, capture_output=True)
    return old, key


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("pairs")
    both = "DNS:shop.example,DNS:api.example,DNS:*.api.example"
    good = pair(folder, "good", both)
    few = pair(folder, "few", "DNS:shop.example,DNS:api.example")
    return {"good": good, "few": few, "old": expired(folder, *good)}


def test_a_pair_is_checked(pairs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    names = ["shop.example", ".api.example"]
    assert "notAfter" in certificates.check(*pairs["good"], names)
    assert "notAfter" in certificates.check(*pairs["few"], [])
    locked = tmp_path / "locked.key"
    lock = ["openssl", "ec", "-aes128", "-passout", "pass:secret"]
    command = [*lock, "-in", pairs["good"][1], "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    for certificate, key, fault in (
        (pairs["few"][0], pairs["few"][1], r"few.pem: it does not cover any.api.example"),
        (pairs["old"][0], pairs["old"][1], "old.pem: it has expired"),
        (pairs["good"][0], pairs["few"][1], "few.key is not the key of CERT=.*good.pem"),
        (pairs["good"][0], locked, "without a passphrase"),
        (pairs["good"][1], pairs["good"][1], "must be PEM files"),
        (tmp_path / "none", pairs["good"][1], "No such file"),
    ):
        with pytest.raises(StackError, match=fault):
            certificates.check(certificate, key, names)


@pytest.fixture
def over_tls(copy: Commands) -> Iterator[str]:
    port = str(ports.free())
    hosts = "127.0.0.1,shop.example"
    settings = {"STACK_TLS": "on", "STACK_TLS_PORT": port, "STACK_HOSTS": hosts}
    copy.environ |= settings
    done = copy.make("down", "up")
    assert done.returncode == 0, done.stdout + done.stderr
    yield f"https://127.0.0.1:{port}"
    for name in settings:
        del copy.environ[name]


def test_a_certificate(copy: Commands, over_tls: str, tmp_path: Path) -> None:
    member = Member(over_tls)
    first = secret(copy, "tls-certificate.pem").read_text()
    certificate, key = pair(tmp_path, "new", "DNS:shop.example,IP:127.0.0.1")
    others = pair(tmp_path, "few", "DNS:else.example")
    asked = ("WHAT=tls", f"CERT={others[0]}", f"KEY={others[1]}")
    assert "it does not cover 127.0.0.1 (STACK_HOSTS)" in refused(copy, *asked)
    assert "CERT and KEY name the new files" in refused(copy, "WHAT=tls")
    assert secret(copy, "tls-certificate.pem").read_text() == first
    with asking(member) as statuses:
        said = rotate(copy, "WHAT=tls", f"CERT={certificate}", f"KEY={key}")
    assert "nginx serves the certificate until " in said
    assert len(statuses) > 5 and set(statuses) == {200}
    served = subprocess.run(
        ["openssl", "s_client", "-connect", over_tls.partition("//")[2]],
        input=b"", capture_output=True, check=False,
    ).stdout.decode()  # fmt: skip
    assert "CN = new" in served
    assert secret(copy, "tls-key.pem").stat().st_mode & 0o777 == 0o600
