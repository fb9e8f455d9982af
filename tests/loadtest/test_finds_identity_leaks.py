"""A response with another account's identity fails the run, wherever the identity shows."""

import json
from pathlib import Path

import pytest

from tests.loadtest.stand_in import StandIn, run, serving

BRISK = {
    "SOAK_USERS": "6",
    "SOAK_RATE": "50",
    "SOAK_SECONDS": "120",
    "SOAK_REQUESTS": "600",
    "STACK_LOGIN_RATE": "0",
}


@pytest.mark.parametrize(
    ("leak", "request_name"),
    [("whoami", "/auth/whoami"), ("page", "/home")],
)
def test_a_leak_is_counted_and_fails_the_run(tmp_path: Path, leak: str, request_name: str) -> None:
    with serving(StandIn(leak=leak)) as url:
        done = run("--profile", "soak", "--host", url, "--results", str(tmp_path), **BRISK)

    assert done.returncode == 1, done.stderr
    assert f"GET {request_name}: identity leak" in done.stderr
    assert "BROKEN  identity leaks" in done.stdout
    latest = tmp_path / "soak" / "latest"
    summary = json.loads((latest / "summary.json").read_text())
    details = [json.loads(line) for line in (latest / "identity-leaks.jsonl").open()]
    assert len(details) == summary["leaks"] > 0
    assert all(leak["expected"] and leak["expected"] not in leak["found"] for leak in details)
    assert all(len(leak["request_id"]) == 32 for leak in details)
    assert "identity leak" in (latest / "locust_failures.csv").read_text()
    assert "identity leak" in (latest / "report.html").read_text()


def test_a_server_without_leaks_passes_and_was_checked(tmp_path: Path) -> None:
    app = StandIn(registration_logs_in=False)
    with serving(app) as url:
        done = run("--profile", "soak", "--host", url, "--results", str(tmp_path), **BRISK)

    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "soak" / "latest" / "summary.json").read_text())
    assert summary["leaks"] == 0
    assert summary["identity_checks"] > 500
    assert len(app.accounts) == 6
    for request in (r"POST /auth/login", r"POST /auth/logout"):
        assert set(app.statuses(request)) == {302}
    assert not any("name" in session for session in app.sessions.values())
