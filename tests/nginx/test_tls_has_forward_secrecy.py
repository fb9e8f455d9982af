"""TLS 1.2 is accepted only with forward secrecy and authenticated encryption."""

import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from tests.servers.nginx import Nginx, stack_behind_nginx

TAKEN = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
]
REFUSED = [
    "AES128-GCM-SHA256",  # no forward secrecy
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "ECDHE-RSA-AES128-SHA256",  # encryption and authentication are separate
    "ECDHE-RSA-AES256-SHA",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """With an RSA key: these ciphers do not exist for other keys."""
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = folder / "rsa.pem", folder / "rsa-key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        [*make, "-days", "2", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with stack_behind_nginx(folder, STACK_TLS="on", STACK_HOSTS="localhost", **files) as (front, _):
        yield front


def shake_hands(server: Nginx, cipher: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", server.tls_port), timeout=20) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        agreed = tls.cipher()
        assert agreed is not None
        return agreed[0]


@pytest.mark.parametrize("cipher", TAKEN)
def test_accepted(server: Nginx, cipher: str) -> None:
    assert shake_hands(server, cipher) == cipher


@pytest.mark.parametrize("cipher", REFUSED)
def test_refused(server: Nginx, cipher: str) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure|no shared cipher"):
        shake_hands(server, cipher)
