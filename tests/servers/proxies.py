"""A second nginx, and HAProxy, in front of the stack: http and https, v4 and v6."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import ports
from tests.servers.nginx import PATIENCE, listens
from tests.waiting import wait_until

ADDRESS = "127.0.0.50"  # from which they reach the stack

# The name in Host is the proxy's own for the stack, as with many cloud balancers.
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/log; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
    fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    ssl_certificate {folder}/both.pem; ssl_certificate_key {folder}/both.pem;
    server {{
        listen 127.0.0.1:{http}; listen [::1]:{http};
        listen 127.0.0.1:{https} ssl; listen [::1]:{https} ssl;
        location / {{
            proxy_bind {address};
            proxy_pass {scheme}://{target};
            proxy_set_header Host stack.internal;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"""
# It keeps Host.
HAPROXY_HTTP = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clear
    bind 127.0.0.1:{http},[::1]:{http}
    http-request set-header X-Forwarded-Proto http
    http-request del-header X-Forwarded-Host
    default_backend stack
frontend tls
    bind 127.0.0.1:{https},[::1]:{https} ssl crt {folder}/both.pem
    http-request set-header X-Forwarded-Proto https
    http-request del-header X-Forwarded-Host
    default_backend stack
backend stack
    option forwardfor
    server stack {target} source {address}
"""
# It passes bytes on: TLS ends in the stack.
HAPROXY_TCP = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clear
    bind 127.0.0.1:{http},[::1]:{http}
    default_backend clear
frontend tls
    bind 127.0.0.1:{https},[::1]:{https}
    default_backend tls
backend clear
    server stack {target} send-proxy source {address}
backend tls
    server stack {tls_target} send-proxy-v2 source {address}
"""


@dataclass(frozen=True)
class Proxy:
    http: int
    https: int


@contextmanager
def proxy(folder: Path, configuration: str, **names: str) -> Iterator[Proxy]:
    """Run the proxy of one of the configurations above, with *names* filled in."""
    http, https = ports.free(), ports.free()
    folder.mkdir(parents=True)
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    make += ["-nodes", "-subj", "/CN=front", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    pair = (folder / "certificate.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(pair)
    (folder / "conf").write_text(
        configuration.format(folder=folder, address=ADDRESS, http=http, https=https, **names)
    )
    command = (
        ["nginx", "-e", "stderr", "-c"] if configuration is NGINX else ["haproxy", "-db", "-f"]
    )
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([*command, folder / "conf"], stdout=out, stderr=out)
    try:
        wait_until(lambda: process.poll() is not None or listens("::1", https), PATIENCE)
        assert process.poll() is None, (folder / "out").read_text()
        yield Proxy(http, https)
    finally:
        process.terminate()
        process.wait(PATIENCE)
