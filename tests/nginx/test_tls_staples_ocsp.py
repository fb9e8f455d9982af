"""nginx staples the authority's OCSP answer if the certificate names a responder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import ports
from tests.servers.nginx import Nginx, stack_behind_nginx
from tests.waiting import wait_until

STAPLED = "OCSP Response Status: successful"
NONE = "OCSP response: no response sent"


def openssl(folder: Path, command: str, *more: str) -> None:
    subprocess.run(
        ["openssl", *command.split(), *more], cwd=folder, check=True, capture_output=True
    )


def certified(folder: Path, *extension: str) -> tuple[bytes, bytes]:
    """Return a certificate with its chain and the key, by an authority in *folder*."""
    new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    if not (folder / "ca.pem").exists():
        openssl(folder, f"req -x509 {new} -subj /CN=authority -days 2 -keyout ca.key -out ca.pem")
    (folder / "extensions").write_text("\n".join(("subjectAltName=DNS:localhost", *extension)))
    openssl(folder, f"req {new} -subj /CN=localhost -keyout leaf.key -out leaf.csr")
    sign = "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 1000 -days 2"
    openssl(folder, f"{sign} -extfile extensions -out leaf.pem")
    chain = (folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes()
    return chain, (folder / "leaf.key").read_bytes()


@contextmanager
def responder(folder: Path, port: int) -> Iterator[None]:
    """The authority's, which knows the certificate with the serial number 1000 as valid."""
    (folder / "index.txt").write_text("V\t300101000000Z\t\t03E8\tunknown\t/CN=localhost\n")
    command = f"ocsp -index index.txt -port {port} -rsigner ca.pem -rkey ca.key -CA ca.pem -ndays 1"
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["openssl", *command.split()], cwd=folder, stdout=output, stderr=output
        )
    try:
        # It would wait for the request of a connection that is only opened to look.
        wait_until(lambda: b"waiting for OCSP" in log.read_bytes(), 20)
        yield
    finally:
        process.terminate()
        process.wait()


def seen_by_a_client(server: Nginx) -> str:
    command = ["openssl", "s_client", "-status", "-connect", f"127.0.0.1:{server.tls_port}"]
    return subprocess.run(
        command, input="", capture_output=True, text=True, check=False, timeout=20
    ).stdout


def write(pair: tuple[bytes, bytes], *files: Path) -> None:
    for content, file in zip(pair, files, strict=True):
        fresh = file.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(file)


def test_the_answer_comes_and_goes_with_the_certificate(tmp_path: Path) -> None:
    port, authority = ports.free(), tmp_path / "authority"
    authority.mkdir()
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    with_responder = certified(authority, f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/")
    without = certified(authority)
    write(with_responder, *files)
    settings = {"TLS_CERT_FILE": str(files[0]), "TLS_KEY_FILE": str(files[1])}
    settings |= {"STACK_TLS": "on", "STACK_HOSTS": "localhost", "TLS_WATCH_SECONDS": "0.2"}
    with (
        responder(authority, port),
        stack_behind_nginx(tmp_path, **settings) as (server, _),
    ):
        wait_until(lambda: STAPLED in seen_by_a_client(server), 20)
        write(without, *files)
        wait_until(lambda: NONE in seen_by_a_client(server), 20)
        # As on a full disk: the next pair is read all the same.
        setting = server.folder / "run/conf/rendered/stapling.conf"
        setting.unlink()
        setting.mkdir()
        write(with_responder, *files)
        wait_until(lambda: "stapling.conf: Is a directory" in server.errors(), 20)
        setting.rmdir()
        write(with_responder, *files)
        wait_until(lambda: STAPLED in seen_by_a_client(server), 20)
    assert "ssl_stapling" not in server.errors()
