"""A value that is not allowed: exit code 2, one line that names it, and nothing is started."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.servers.nginx import ENTRYPOINT, environment

BAD = [
    ("NGINX_LISTEN", "0"),
    ("NGINX_LISTEN", "65536"),
    ("NGINX_LISTEN", "localhost:8080"),
    ("NGINX_LISTEN", "8080; include /etc/passwd"),
    ("NGINX_LISTEN", "8080\n8081"),
    ("NGINX_STATUS_LISTEN", ""),
    ("STACK_CSP", ""),
    ("STACK_CSP", "default-src 'self'\"; include /etc/passwd"),
    ("STACK_CSP", "report-uri /$request_uri"),
    ("NGINX_RUN", "relative/path"),
    ("NGINX_RUN", "/proc/nothing/can/be/made/here"),
    ("NGINX_RUN", "/tmp/with space"),
    ("NGINX_RESPONSES", "relative/path"),
    ("NGINX_RESPONSES", "/nowhere"),
    ("NGINX_STATIC", "/no/such/folder"),
    ("NGINX_RESOLVER", "dns.example.org"),
    ("NGINX_RESOLVER", ""),
    ("NGINX_LOG_SOCKET", "log.sock"),
    ("NGINX_LOG_SOCKET", "/run/log.sock;"),
    ("APP_HOST", ""),
    ("APP_HOST", "app;"),
    ("APP_HOST", "$host"),
    ("APP_PORT", "http"),
    ("STACK_HOSTS", "https://example.org"),
    ("STACK_HOSTS", "example.org:8080"),
    ("STACK_HOSTS", "example.org,*"),
    ("STACK_HOSTS", "example.org,,example.net"),
    ("STACK_HOSTS", "example.org,"),
    ("STACK_HOSTS", "~^.*$"),
    ("STACK_TRUSTED_PROXIES", "0.0.0.0/0"),
    ("STACK_TRUSTED_PROXIES", "10.0.0.0/8,::/0"),
    ("STACK_TRUSTED_PROXIES", "10.0.0.0/8;"),
    ("STACK_TRUSTED_PROXIES", "proxy.example.org"),
    ("STACK_TLS", "flase"),
    ("STACK_TLS", ""),
    ("STACK_HARAKIRI", "0"),
    ("STACK_HARAKIRI", "61"),
    ("STACK_HARAKIRI", "30s"),
    ("STACK_LOGIN_RATE", "-1"),
    ("STACK_LOGIN_RATE", "6001"),
    ("STACK_BUFFER_SIZE", "70000"),
]


def run(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [str(ENTRYPOINT), *arguments]
    with subprocess.Popen(
        command,
        env=environment(folder, 3031, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:  # nginx has started: end its workers too
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value!r}" for name, value in BAD])
def test_names_the_variable_and_starts_nothing(tmp_path: Path, name: str, value: str) -> None:
    ended = run(tmp_path, **{name: value})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"nginx/entrypoint: {name}='{value}': "), ended.stderr
    assert "must be" in ended.stderr or "cannot be written" in ended.stderr
    assert not (tmp_path / "run/nginx.pid").exists()


def test_the_proxy_protocol_needs_trusted_proxies(tmp_path: Path) -> None:
    ended = run(tmp_path, STACK_PROXY_PROTOCOL="on")
    assert ended.returncode == 2
    assert "STACK_PROXY_PROTOCOL='on': needs STACK_TRUSTED_PROXIES" in ended.stderr


def test_the_same_address_twice(tmp_path: Path) -> None:
    ended = run(tmp_path, STACK_TLS="on", NGINX_LISTEN="8080", NGINX_LISTEN_TLS="8080")
    assert ended.returncode == 2
    assert "NGINX_LISTEN_TLS='8080': must differ" in ended.stderr


def test_a_certificate_without_its_key(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_text("there")
    missing = tmp_path / "key.pem"
    ended = run(tmp_path, STACK_TLS="on", TLS_CERT_FILE=str(certificate), TLS_KEY_FILE=str(missing))
    assert ended.returncode == 2
    assert str(missing) in ended.stderr
    assert certificate.read_text() == "there", "the file was overwritten"


def test_an_unknown_argument(tmp_path: Path) -> None:
    ended = run(tmp_path, "--chekc")
    assert ended.returncode == 2
    assert "--chekc" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NGINX_RESOLVER", "127.0.0.11 [fd00::1]:5353"),
        ("APP_HOST", "[fd00::1]"),
        ("STACK_HOSTS", ""),
        ("STACK_HOSTS", "Example.org, .example.NET ,example.org"),
        ("STACK_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.1"),
        ("STACK_TLS", "Yes"),
        ("STACK_CSP", "script-src 'unsafe-inline' https://cdn.example.org/a_b-c/*"),
        ("STACK_HARAKIRI", "08"),
        ("STACK_LOGIN_RATE", "0"),
        ("STACK_BUFFER_SIZE", "8192"),
    ],
)
def test_accepts_unusual_values(tmp_path: Path, name: str, value: str) -> None:
    ended = run(tmp_path, "--check", **{name: value})
    assert ended.returncode == 0, ended.stderr


def test_an_ipv6_address_reaches_nginx(tmp_path: Path) -> None:
    ended = run(tmp_path, "--check", NGINX_LISTEN="[::1]:8080")
    # nginx -t binds the address, which fails without IPv6.
    assert ended.returncode == 0 or "bind() to [::1]:8080 failed" in ended.stderr
