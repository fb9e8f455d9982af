"""mtail counts as logins what nginx limits: STACK_LOGIN_PATHS below STACK_PREFIX, in any form."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from deploy.observe import local
from tests.servers.nginx import nginx, request
from tests.waiting import wait_until

pytestmark = pytest.mark.prometheus

PROGRAM = Path(local.__file__).with_name("nginx.mtail")
OTHER = {"STACK_PREFIX": "/shop", "STACK_LOGIN_PATHS": "/in,/a.b/reset"}
# After these eleven the limit refuses each further one.
BURST = [("POST", "/shop/in")] * 11
LOGINS = [
    ("POST", "/shop/in?next=/"),
    ("POST", "/shop//in"),
    ("POST", "/shop/%69n"),
    ("POST", "/shop/in/again"),
    ("POST", "/shop/a.b/reset"),
]
OTHERS = [
    ("GET", "/shop/in"),
    ("POST", "/in"),
    ("POST", "/shop/inn"),
    ("POST", "/shop/axb/reset"),
    ("POST", "/shop/auth/login"),
    ("POST", '/shop/","login":true,"status":429,"request_bytes":1'),
]


def counted(log: Path) -> dict[str, dict[str, int]]:
    """Return the counters by status that mtail has after the lines of *log*."""
    done = subprocess.run(
        ["mtail", "--one_shot", "--progs", PROGRAM, "--logs", log, "--logtostderr",
         "--address", "127.0.0.1", "--port", "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    metrics: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return {
        name: {one["Labels"][0]: one["Value"]["Value"] for one in metrics[name][0]["LabelValues"]}
        for name in ("nginx_requests_total", "nginx_logins_total")
    }


@pytest.mark.parametrize("where", ["local processes", "containers"])
def test_another_prefix_and_other_paths(tmp_path: Path, where: str) -> None:
    messages = [request(method, path, body=b"") for method, path in BURST + LOGINS + OTHERS]
    log = tmp_path / "access.log"
    with (
        tempfile.TemporaryDirectory() as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program,
    ):
        program.bind(f"{short}/log.sock")
        program.settimeout(20)
        # Without an app: what passes the limit is a 503.
        to_program = {"NGINX_LOG_SOCKET": f"{short}/log.sock"} if where == "containers" else {}
        lines = []
        with nginx(tmp_path, 1, STACK_LOGIN_RATE="1", **OTHER, **to_program) as server:
            for message in messages:
                server.ask(message)
                if to_program:
                    lines.append(program.recv(65536).decode())
            wait_until(lambda: log.read_text().count("\n") == len(messages))
        if to_program:
            (log := tmp_path / "received.log").write_text("".join(lines))
    counts = counted(log)
    assert counts["nginx_logins_total"] == {"503": len(BURST), "429": len(LOGINS)}
    assert sum(counts["nginx_requests_total"].values()) == len(messages)
