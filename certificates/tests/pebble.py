"""Pebble, Let's Encrypt's own test server, and a name server that sends it to this machine."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import ports
from tests.waiting import wait_until


def self_signed(folder: Path, *names: str) -> tuple[Path, Path]:
    """Return a certificate for *names* and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=pebble", "-days", "2", "-keyout", key, "-out", certificate,
         "-addext", "subjectAltName=" + ",".join(names)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def configuration(certificate: Path, key: Path, port: int, http_port: int, *, bind: str) -> str:
    return json.dumps(
        {
            "pebble": {
                "listenAddress": f"{bind}:{port}",
                "managementListenAddress": "",
                "certificate": str(certificate),
                "privateKey": str(key),
                "httpPort": http_port,
                "tlsPort": 1,
                "ocspResponderURL": "",
                "externalAccountBindingRequired": False,
            }
        }
    )


@dataclass
class Pebble:
    """A running server. It asks for challenges at *http_port* of this machine."""

    folder: Path
    port: int
    ca_file: Path
    process: subprocess.Popen[bytes]
    start: Callable[[], subprocess.Popen[bytes]]
    host: str

    @property
    def directory(self) -> str:
        return f"https://{self.host}:{self.port}/dir"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def start_again(self) -> None:
        """It has forgotten accounts and orders then, and signs with another authority."""
        self.process = self.start()
        _wait(self.port)


@contextmanager
def pebble(folder: Path, http_port: int, address: str = "127.0.0.1") -> Iterator[Pebble]:
    """It listens at *address* of this machine: a container reaches another one than loopback."""
    folder.mkdir()
    host = "localhost" if address == "127.0.0.1" else address
    kind = "DNS" if host == "localhost" else "IP"
    certificate, key = self_signed(folder, f"{kind}:{host}")
    dns, port = ports.free(), ports.free()
    config = folder / "pebble.json"
    config.write_text(configuration(certificate, key, port, http_port, bind=address))
    environ = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with (folder / "pebble.log").open("ab") as log:
        names = subprocess.Popen(
            ["pebble-challtestsrv", "-defaultIPv4=127.0.0.1", "-defaultIPv6=",
             f"-dns01=127.0.0.1:{dns}", "-http01=", "-https01=", "-tlsalpn01=",
             f"-management=127.0.0.1:{ports.free()}"],
            stdout=log, stderr=log,
        )  # fmt: skip

        def start() -> subprocess.Popen[bytes]:
            command = ["pebble", "-config", config, "-dnsserver", f"127.0.0.1:{dns}"]
            return subprocess.Popen(command, env=environ, stdout=log, stderr=log)

        server = Pebble(folder, port, certificate, start(), start, host)
        try:
            _wait(port, address)
            yield server
        finally:
            server.stop()
            names.terminate()
            names.wait(20)


def _wait(port: int, address: str = "127.0.0.1") -> None:
    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex((address, port)) == 0

    wait_until(listens, 20)


def issuer(certificate: str) -> str:
    """Return who signed *certificate*, which is PEM."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-issuer"],
        input=certificate, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def number(metrics: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    assert found, metrics
    return float(found[1])


def days_until(seconds: float) -> float:
    return (seconds - time.time()) / 86400
