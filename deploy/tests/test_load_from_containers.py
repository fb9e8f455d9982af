"""Workers in containers load the stack as one generator; they are confined like every service."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import configuration
from tests.deploy.test_compose_file_is_hardened import CPUS, HOLES, RULES, secrets_in_the_open

pytestmark = pytest.mark.containers

OVERLAY = Path(CHECKOUT, "deploy", "loadtest", "compose.yml")
SHORT = {"SMOKE_SECONDS": "8", "SMOKE_USERS": "4", "SMOKE_P95_MS": "5000"}


def of_loadtest(stack: ComposeRuntime) -> int:
    lines = [it for it in stack.log("nginx").splitlines() if it.startswith("{")]
    agents = [json.loads(line).get("user_agent") for line in lines]
    return agents.count("flask-uwsgi-stack loadtest")


def test_two_workers_count_as_many_requests_as_nginx(stack: ComposeRuntime) -> None:
    # The same containers, with the overlay.
    spread = ComposeRuntime({**stack.environ, "WORKERS": "2"}, files=[OVERLAY])
    spread.compose("--profile", "loadtest", "build", "loadtest", timeout_s=600)
    before = of_loadtest(stack)
    try:
        spread.compose("up", "--detach", "--no-deps", "--no-build", "loadtest-worker")
        master = ["run", "--rm", "--no-deps", "--no-TTY", "--use-aliases"]
        done = subprocess.run(
            spread.command(*master, *(f"--env={it}={to}" for it, to in SHORT.items()), "loadtest"),
            env=spread.environ, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        logs = spread.compose("logs", "loadtest-worker")
    finally:
        spread.compose("rm", "--stop", "--force", "--volumes", "loadtest-worker", "loadtest")
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert re.search(r"^kept +workers +2 +≥ 2$", done.stdout, re.MULTILINE), done.stdout
    counted = re.search(r"^kept +requests +([0-9,]+) ", done.stdout, re.MULTILINE)
    assert counted, done.stdout
    assert of_loadtest(stack) - before == int(counted[1].replace(",", "")) > 0


def test_its_services_have_no_more_than_they_need() -> None:
    rendered = configuration(ComposeRuntime({**CPUS, "WORKERS": "3"}, files=[OVERLAY]))
    for name in ("loadtest", "loadtest-worker"):
        service = rendered["services"][name]
        assert [rule for rule, holds in RULES.items() if not holds(service)] == [], name
        assert [hole for hole in HOLES if service.get(hole)] == [], name
        assert list(secrets_in_the_open(service)) == [], name
        assert service["profiles"] == ["loadtest"]
        assert list(service["networks"]) == ["edge"]
        assert not service.get("ports")
    assert rendered["services"]["loadtest-worker"]["scale"] == 3
