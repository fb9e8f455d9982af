"""The settings in docs/examples for what stands in front of the stack."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import toggles
from stack import dotenv
from stack.checkout import CHECKOUT
from tests.nginx.test_configuration_is_clean import rendered

EXAMPLES = CHECKOUT / "docs/examples"
# As Cloudflare publishes them: a range on each line, and no end of the last line.
LISTS = {"/ips-v4": "173.245.48.0/20\n104.16.0.0/13", "/ips-v6": "2400:cb00::/32\n2606:4700::/32"}


@pytest.mark.parametrize("name", ["balancer-http.env", "balancer-tcp.env"])
def test_nginx_takes_the_settings(tmp_path: Path, name: str) -> None:
    settings = dotenv.read(EXAMPLES / name, {})
    assert settings["STACK_TRUSTED_PROXIES"] and settings["STACK_HOSTS"]
    assert toggles.read(settings)["STACK_TLS"] == "on"
    text = rendered(tmp_path, **settings)
    assert "set_real_ip_from 10.0.8.0/24;" in text
    assert (" proxy_protocol default_server" in text) == (name == "balancer-tcp.env")


@contextmanager
def publishing(lists: dict[str, str]) -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = lists.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ranges(lists: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with publishing(lists) as address:
        return subprocess.run(
            [EXAMPLES / "cloudflare.sh"], env={"PATH": "/usr/bin:/bin", "CLOUDFLARE": address},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


def test_the_ranges_of_cloudflare_become_a_setting(tmp_path: Path) -> None:
    done = ranges(LISTS)
    assert (done.returncode, done.stderr) == (0, "")
    name, _, value = done.stdout.strip().partition("=")
    assert (name, value) == (
        "STACK_TRUSTED_PROXIES",
        "173.245.48.0/20,104.16.0.0/13,2400:cb00::/32,2606:4700::/32",
    )
    assert "set_real_ip_from 2606:4700::/32;" in rendered(tmp_path, STACK_TRUSTED_PROXIES=value)


@pytest.mark.parametrize("absent", LISTS)
def test_half_a_list_is_none(absent: str) -> None:
    done = ranges({path: text for path, text in LISTS.items() if path != absent})
    assert done.returncode != 0 and done.stdout == ""
    assert "404" in done.stderr
