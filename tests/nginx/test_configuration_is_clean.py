"""The rendered configuration passes nginx -t and gixy without a message, and keeps our rules."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.nginx import ENTRYPOINT, environment

NGINX = CHECKOUT / "nginx"
HTTP = {"STACK_TLS": "off"}
HTTPS = {"STACK_TLS": "on", "STACK_HOSTS": "example.org,.example.net"}
PROXIED = HTTPS | {"STACK_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8", "STACK_PROXY_PROTOCOL": "on"}


def rendered(folder: Path, **settings: str) -> str:
    """Return all rendered files as one text, after `nginx -t` has passed without a message."""
    check = subprocess.run(
        [ENTRYPOINT, "--check"],
        env=environment(folder, 3031, **settings),
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in check.stderr.splitlines() if "self-signed" not in line]
    assert (check.returncode, said, check.stdout) == (0, [], "")
    files = sorted((folder / "run/conf/rendered").iterdir())
    assert len(files) > 5
    return "".join(file.read_text() for file in files)


@pytest.mark.parametrize("settings", [HTTP, HTTPS, PROXIED], ids=["http", "https", "proxied"])
def test_gixy_finds_nothing(tmp_path: Path, settings: dict[str, str]) -> None:
    rendered(tmp_path, **settings)
    gixy = Path(sys.executable).with_name("gixy")
    found = subprocess.run(
        [gixy, tmp_path / "run/conf/nginx.conf"], capture_output=True, text=True, check=False
    )
    assert "No issues found" in found.stdout, found.stdout
    assert found.returncode == 0
    assert not found.stderr.strip(), "gixy could not read a file"


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    for settings in (HTTP, HTTPS, PROXIED):
        assert "${" not in re.sub(r"(?m)^\s*#.*$", "", rendered(tmp_path, **settings))


@pytest.mark.parametrize(
    ("version", "directive"),
    [("1.22.1", False), ("1.24.0", False), ("1.25.0", False),
     ("1.25.1", True), ("1.26.3", True), ("1.30.0", True), ("2.0.1", True)],
)  # fmt: skip
def test_http2_is_asked_for_as_the_version_of_nginx_knows_it(
    tmp_path: Path, version: str, directive: bool
) -> None:
    """A program says that it is of that version, and accepts every configuration."""
    other = tmp_path / "nginx"
    other.write_text(f"#!/bin/sh\n[ $1 != -v ] || echo nginx version: nginx/{version} >&2\n")
    other.chmod(0o755)
    text = rendered(tmp_path, **HTTPS, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert bool(re.search(r"(?m)^ *http2 on;$", text)) == directive
    assert bool(re.search(r"(?m)^ *listen \S+ ssl http2 ", text)) != directive


def test_no_server_or_location_removes_inherited_headers() -> None:
    """A level with its own add_header or uwsgi_param inherits none."""
    files = [*NGINX.glob("snippets/server-*.conf"), *NGINX.glob("templates/*.template")]
    files.remove(NGINX / "templates/security-headers.conf.template")  # the level above
    assert len(files) > 7
    for file in files:
        assert not re.search(r"(?m)^\s*(add_header|uwsgi_param|error_page)\b", file.read_text()), (
            file
        )


def test_the_head_of_a_request_fits_into_uwsgis_buffer_at_every_size(tmp_path: Path) -> None:
    for buffer_size in (8192, 32768, 65535):
        text = rendered(tmp_path, STACK_BUFFER_SIZE=str(buffer_size))
        first = int(re.findall(r"(?m)^client_header_buffer_size (\d+);", text)[0])
        number, size = map(
            int, re.findall(r"(?m)^large_client_header_buffers (\d+) (\d+);", text)[0]
        )
        head = first + number * size
        # nginx's own variables, and 10 bytes in the packet for 4 bytes of headers.
        assert 2048 + head * 10 / 4 <= buffer_size
        assert head > 0.38 * (buffer_size - 2048), "smaller than necessary"


def test_each_timeout_exceeds_the_next_one_upstream(tmp_path: Path) -> None:
    shutdown = int(
        re.findall(r"(?m)^worker_shutdown_timeout (\d+)s;", (NGINX / "nginx.conf").read_text())[0]
    )
    for harakiri in (1, 30, 60):
        text = rendered(tmp_path, STACK_HARAKIRI=str(harakiri))
        read = int(re.findall(r"(?m)^uwsgi_read_timeout (\d+)s;", text)[0])
        assert harakiri < read < shutdown


def test_shellcheck_finds_nothing() -> None:
    assert shutil.which("shellcheck"), "install shellcheck"
    found = subprocess.run(["shellcheck", ENTRYPOINT], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
