"""STACK_TLS=on: TLS 1.2 and 1.3, HSTS, a redirect from HTTP, and a self-signed certificate."""

import re
import socket
import ssl
import stat
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.nginx import ENTRYPOINT, Nginx, ask, environment, request, stack_behind_nginx

ON = {"STACK_TLS": "on", "STACK_HOSTS": "localhost,.example.org"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with stack_behind_nginx(tmp_path_factory.mktemp("nginx"), **ON) as (front, _):
        yield front


def https(server: Nginx, path: str, *headers: str, host: str = "localhost:8443"):  # type: ignore[no-untyped-def]
    return ask(server.tls_port, request("GET", path, *headers, host=host), tls=True)


def test_the_app_sees_https(server: Nginx) -> None:
    seen = https(server, "/up", "X-Forwarded-Proto: http").json()
    assert seen["wsgi.url_scheme"] == "https"
    assert (seen["HTTPS"], seen["HTTP_X_FORWARDED_PROTO"]) == ("on", "https")
    assert seen["HTTP_HOST"] == "localhost:8443"


def test_hsts_on_https_responses_only(server: Nginx) -> None:
    for path, host in (("/up", "localhost"), ("/.env", "localhost"), ("/up", "other.example")):
        headers = https(server, path, host=host).headers
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        assert "content-security-policy" in headers
    assert "strict-transport-security" not in server.get("/up").headers


def test_http_redirects_to_https(server: Nginx) -> None:
    for method in ("GET", "POST"):
        answer = server.ask(request(method, "/a/b?c=%2F", host="A.example.org:8080", body=b"x"))
        assert answer.status == 308
        assert answer.headers["location"] == "https://a.example.org:8443/a/b?c=%2F"
        assert "x-request-id" in answer.headers
    assert server.get("/", host="other.example").status == 421
    assert server.get("/.env").status == 308, "a redirect must not reveal which paths exist"


def test_health_checks_stay_on_http(server: Nginx) -> None:
    assert server.get("/readyz", host="192.0.2.1").status == 200
    assert server.get("/nginx-health").body == b"ok\n"
    assert https(server, "/nginx-health").body == b"ok\n"


def test_plain_http_on_the_tls_port_is_a_bad_request(server: Nginx) -> None:
    answer = ask(server.tls_port, request("GET", "/up"))
    assert answer.status == 400
    assert answer.headers["x-request-id"].encode() in answer.body


@pytest.mark.parametrize(
    ("version", "works"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_versions(server: Nginx, version: ssl.TLSVersion, works: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # otherwise this client refuses old versions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", server.tls_port), timeout=20) as connection:
        if works:
            with context.wrap_socket(connection, server_hostname="localhost") as tls:
                assert re.search("GCM|CHACHA20", str(tls.cipher()))
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(connection, server_hostname="localhost")


def test_the_self_signed_certificate_names_our_hosts_and_its_key_is_private(server: Nginx) -> None:
    folder = server.folder / "run/tls"
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", folder / "certificate.pem"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in ("DNS:localhost", "DNS:example.org", "DNS:*.example.org", "IP Address:127.0.0.1"):
        assert name in text
    assert "self-signed" in server.errors()
    assert "PRIVATE" not in server.errors()


def test_an_existing_certificate_is_used_unchanged(tmp_path: Path) -> None:
    certificate, key = tmp_path / "own cert.pem", tmp_path / "own key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    make += ["-nodes", "-subj", "/CN=given", "-days", "2", "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    before = (certificate.read_bytes(), key.read_bytes())
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with stack_behind_nginx(tmp_path, **ON, **files) as (front, _):
        served = ssl.get_server_certificate(("127.0.0.1", front.tls_port))
        assert served.strip() == certificate.read_text().strip()
        assert "self-signed" not in front.errors()
    assert before == (certificate.read_bytes(), key.read_bytes())


def test_the_same_certificate_after_a_restart(tmp_path: Path) -> None:
    served = []
    for _ in range(2):
        with stack_behind_nginx(tmp_path, **ON) as (front, _):
            served.append(ssl.get_server_certificate(("127.0.0.1", front.tls_port)))
    assert served[0] == served[1]


def test_copies_that_start_at_once_share_one_certificate(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    files = {"TLS_CERT_FILE": f"{secrets}/certificate.pem", "TLS_KEY_FILE": f"{secrets}/key.pem"}
    copies = []
    for number in range(6):
        (folder := tmp_path / str(number)).mkdir()
        environ = environment(folder, 3031, **ON, **files)
        copies.append(subprocess.Popen([ENTRYPOINT, "--check"], env=environ))
    assert [copy.wait(30) for copy in copies] == [0] * 6
    assert sorted(file.name for file in secrets.iterdir()) == ["certificate.pem", "key.pem"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files.values())  # raises if the key is of another certificate


def test_port_443_is_left_out_of_the_redirect(tmp_path: Path) -> None:
    with stack_behind_nginx(tmp_path, **ON, STACK_TLS_PORT="443") as (front, _):
        assert front.get("/x").headers["location"] == "https://localhost/x"
