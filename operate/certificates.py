"""Checks a certificate and its key, and lets nginx serve them without a refused connection."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from operate import secret_files
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime

# nginx starts new workers and lets them listen.
SERVE_TIMEOUT_S = 10.0
CERTIFICATE, KEY = "tls-certificate.pem", "tls-key.pem"


def replace(runtime: Runtime, certificate: str, key: str, progress: Progress) -> None:
    """Serve the PEM files *certificate* (with its chain) and *key*, if they pass `check`.

    Raises StackError if they do not, or if nginx does not serve them; the present pair then stays.
    """
    toggles = runtime.running_toggles()
    if toggles["STACK_TLS"] != "on":
        raise StackError("STACK_TLS is off", "make down up STACK_TLS=on")
    if not certificate or not key:
        raise StackError("CERT and KEY name the new files", "make rotate WHAT=tls CERT=… KEY=…")
    names = [name for name in toggles["STACK_HOSTS"].split(",") if name]
    facts = check(Path(certificate), Path(key), names)
    progress.step(f"certificate and key fit, and are valid until {facts['notAfter']}")
    before = {name: secret_files.read(runtime, name) for name in (CERTIFICATE, KEY)}
    after = {CERTIFICATE: Path(certificate).read_bytes(), KEY: Path(key).read_bytes()}
    new = ssl.PEM_cert_to_DER_cert(_first(after[CERTIFICATE].decode()))
    try:
        _install(runtime, after)
        deadline = time.monotonic() + SERVE_TIMEOUT_S
        while _served(runtime) != new:
            if time.monotonic() > deadline:
                raise StackError(
                    "nginx does not serve the new certificate; the former one stays",
                    log=runtime.log("nginx", lines=6),
                )
            time.sleep(0.1)
    except BaseException:
        _install(runtime, before)
        raise
    print(f"nginx serves the certificate until {facts['notAfter']}.")


def check(certificate: Path, key: Path, names: Sequence[str]) -> dict[str, str]:
    """Return what the certificate says of itself, as `ssl.getpeercert()` does.

    A server with the pair and a client that trusts nothing else shake hands in memory, once for
    each of *names*, which are those of STACK_HOSTS. Raises StackError, which names what is wrong.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        trusted = _first(certificate.read_text(encoding="ascii"))
        server.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        if isinstance(error, ssl.SSLError) and reason == "KEY_VALUES_MISMATCH":
            raise StackError(f"KEY={key} is not the key of CERT={certificate}") from error
        if isinstance(error, FileNotFoundError | PermissionError):
            raise StackError(f"CERT={certificate} or KEY={key}: {error.strerror}") from error
        raise StackError(
            f"CERT={certificate} and KEY={key} must be PEM files, the key without a passphrase "
            f"({reason or error})"
        ) from error
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=trusted)
    facts: dict[str, str] = {}
    for name in names or [""]:
        # The name and any name below it, which only a wildcard covers.
        hosts = [name[1:], f"any{name}"] if name.startswith(".") else [name]
        for host in hosts:
            client.check_hostname = bool(host)
            try:
                facts = _shake_hands(server, client, host)
            except ssl.SSLCertVerificationError as error:
                raise StackError(f"CERT={certificate}: {_fault(error, host)}") from error
    return facts


def _fault(error: ssl.SSLCertVerificationError, host: str) -> str:
    codes = {9: "it is not valid yet", 10: "it has expired"}  # X509_V_ERR_CERT_…
    if error.verify_code in codes:
        return codes[error.verify_code]
    if "ostname mismatch" in error.verify_message or "IP address" in error.verify_message:
        return f"it does not cover {host} (STACK_HOSTS)"
    return error.verify_message


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> dict[str, str]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host or None),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    facts = ends[0].getpeercert()
    return {name: str(value) for name, value in (facts or {}).items()}


def _first(text: str) -> str:
    """Return the first certificate of a PEM file. Raises ValueError without one."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.index(begin)
    return text[start : text.index(end, start) + len(end)] + "\n"


def _install(runtime: Runtime, pair: dict[str, bytes]) -> None:
    for name, content in pair.items():
        secret_files.write(runtime, name, content)
    if isinstance(runtime, ComposeRuntime):
        runtime.compose("kill", "--signal", "HUP", "nginx")
    elif isinstance(runtime, LocalRuntime):
        # 0 where it does not run: the signal would go to this process's own group.
        if not (pid := runtime.main_pids()["nginx"]):
            raise StackError("nginx does not run", "make status")
        os.kill(pid, signal.SIGHUP)


def _served(runtime: Runtime) -> bytes:
    """Return the certificate that nginx presents; b"" if it does not answer."""
    toggles = runtime.running_toggles()
    host, _, port = runtime.address().partition("://")[2].partition("/")[0].rpartition(":")
    context = ssl._create_unverified_context()  # noqa: S323 - to compare it
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 5) as plain:
            if toggles["STACK_PROXY_PROTOCOL"] == "on":
                plain.sendall(b"PROXY UNKNOWN\r\n")
            with context.wrap_socket(plain) as connection:
                return connection.getpeercert(binary_form=True) or b""
    except OSError:
        return b""
