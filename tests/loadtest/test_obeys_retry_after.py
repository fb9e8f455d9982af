"""A user waits as Retry-After asks, and a 429 counts as refused, not as an error."""

import json
import re
from pathlib import Path
from time import monotonic

import pytest

from tests.loadtest.stand_in import Answer, StandIn, run, serving

pytestmark = pytest.mark.waits


def test_429_is_obeyed_and_has_a_row_of_its_own(tmp_path: Path) -> None:
    tries: list[float] = []

    def refuse_first_two(method: str, path: str) -> Answer | None:
        if (method, path) != ("POST", "/auth/register"):
            return None
        tries.append(monotonic())
        return (429, "slow down", {"Retry-After": "2"}) if len(tries) <= 2 else None

    with serving(StandIn(fault=refuse_first_two)) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            SMOKE_SECONDS="9",
            SMOKE_REFUSED_PERCENT="50",
            SMOKE_RATE="50",
            SMOKE_P95_MS="5000",
        )
    summary = json.loads((tmp_path / "smoke" / "latest" / "summary.json").read_text())

    assert done.returncode == 0, done.stdout
    assert summary["refused"] == 2
    assert summary["errors"] == 0
    rows = {f"{row['method']} {row['name']}": row for row in summary["rows"]}
    assert rows["POST 429 /auth/register"]["num_failures"] == 2
    assert rows["POST /auth/register"]["num_failures"] == 0
    # Two were refused once and tried again, but no user tried twice within two seconds.
    members = rows["POST /auth/register"]["num_requests"]
    assert len(tries) == members + 2
    assert len([when for when in tries if when < tries[0] + 2]) <= members
    assert re.search(
        r"^2 +POST 429 /auth/register: 429, waiting as asked", done.stderr, re.MULTILINE
    )


def test_503_is_an_error_and_more_so_without_retry_after(tmp_path: Path) -> None:
    def away(method: str, path: str) -> Answer | None:
        if path == "/version":
            return 503, "", {}
        return (503, "", {"Retry-After": "1"}) if path == "/auth/whoami" else None

    with serving(StandIn(fault=away)) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            SMOKE_SECONDS="5",
            SMOKE_RATE="50",
        )

    assert done.returncode == 1
    assert "GET 503 /auth/whoami: 503, waiting as asked" in done.stderr
    assert "GET 503 /version: 503 without a usable Retry-After" in done.stderr
    assert "smoke: BROKEN: errors\n" in done.stdout
