"""The smoke profile passes on the real stack, and nginx's log has every request, also of workers.

The stack has a prefix and a self-signed certificate: the stand-in of other tests has neither.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from stack.checkout import CHECKOUT
from stack.local.runtime import LocalRuntime
from tests.loadtest.stand_in import run
from tests.stack.checkouts import own_name
from toggles import TOGGLES, Whole


def test_smoke_is_kept_and_every_request_arrived(tmp_path: Path) -> None:
    settings = {"STACK_PREFIX": "/shop", "STACK_TLS": "on"}
    with LocalRuntime({"STACK_PORT": "0", "STACK_NAME": own_name(), **settings}) as stack:
        done = run(
            *("--profile", "smoke", "--results", str(tmp_path)),
            HOST=f"{stack.address()}/",
            SMOKE_SECONDS="18",
            SMOKE_P95_MS="5000",
        )
        summary = json.loads((tmp_path / "smoke" / "latest" / "summary.json").read_text())
        spread = run(
            *("--profile", "smoke", "--results", str(tmp_path), "--workers", "2"),
            HOST=f"{stack.address()}/",
            SMOKE_SECONDS="8",
            SMOKE_USERS="6",
            SMOKE_P95_MS="5000",
        )
        of_workers = json.loads((tmp_path / "smoke" / "latest" / "summary.json").read_text())
        log = (stack.run_dir / "logs" / "nginx.log").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert spread.returncode == 0, spread.stdout + spread.stderr

    rows = {f"{row['method']} {row['name']}" for row in summary["rows"]}
    assert {
        "GET /",
        "GET /static/…",
        "POST /auth/register",
        "POST /auth/logout",
        "GET /auth/whoami",
        "GET /auth/whoami after logout",
        "GET /home",
    } <= rows
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ours = [line for line in lines if line["user_agent"] == "flask-uwsgi-stack loadtest"]
    statuses = Counter(line["status"] for line in ours)
    assert len(ours) == summary["requests"] + of_workers["requests"], statuses


def test_a_client_waits_longer_than_nginx() -> None:
    # In a process of its own: importing Locust would patch this one.
    code = "from loadtest.client import CLIENT_TIMEOUT_SECONDS as t; print(t)"
    timeout = float(subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT))
    harakiri = TOGGLES["STACK_HARAKIRI"].kind
    assert isinstance(harakiri, Whole)
    assert timeout > harakiri.high + 5  # nginx's uwsgi_read_timeout is harakiri and 5 s
