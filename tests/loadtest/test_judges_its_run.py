"""A headless run prints progress and a table, counts every request, and judges by thresholds."""

import json
import re
from pathlib import Path
from time import sleep

import pytest

from tests.loadtest.stand_in import Answer, StandIn, run, serving

pytestmark = pytest.mark.waits

# A busy machine delays one of few requests, which is their p95.
QUICK = {"SMOKE_SECONDS": "7", "SMOKE_RATE": "50", "SMOKE_P95_MS": "5000"}


def test_a_good_run_shows_progress_a_table_and_its_report(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        done = run("--profile", "smoke", "--results", str(tmp_path), HOST=url, **QUICK)
    latest = tmp_path / "smoke" / "latest"

    assert done.returncode == 0, done.stdout + done.stderr
    progress = (
        r"smoke  \d/7 s  \d+ requests  4 users  \d+ req/s  p95 \d+ ms  0 errors  0 refused  0 iden"
    )
    assert re.search(progress, done.stdout)
    assert re.search(r"^GET +/home +\d+ +0\(0.00%\) ", done.stderr, re.MULTILINE)
    assert re.search(r"^ +Aggregated +\d+ +0\(0.00%\) ", done.stderr, re.MULTILINE)
    assert "smoke: every threshold kept" in done.stdout
    report = re.search(r"^report  (.*)$", done.stdout, re.MULTILINE)
    assert report
    assert latest.is_symlink()
    assert latest.resolve() == Path(report[1]).resolve().parent
    files = {file.name for file in latest.iterdir()}
    assert {"report.html", "locust_stats.csv", "locust_failures.csv", "summary.json"} <= files


def test_it_counts_every_request_that_the_server_saw(tmp_path: Path) -> None:
    app = StandIn()
    # Locust reads both as its option --tags, which would leave no task.
    (tmp_path / ".locust.conf").write_text("tags = none\n")
    with serving(app) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            LOCUST_TAGS="none",
            HOME=str(tmp_path),
            **QUICK,
        )
    summary = json.loads((tmp_path / "smoke" / "latest" / "summary.json").read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    seen = [path for _, path, _ in app.log if path != "/readyz"]
    assert summary["requests"] == len(seen) == sum(row["num_requests"] for row in summary["rows"])


def _slow(method: str, path: str) -> Answer | None:
    if path == "/":
        sleep(0.12)
    return None


def _wrong(method: str, path: str) -> Answer | None:
    return (500, "", {}) if path.startswith("/static/") else None


def _empty(method: str, path: str) -> Answer | None:
    return (200, "<p>Hello", {}) if (method, path) == ("GET", "/home") else None


@pytest.mark.parametrize(
    ("fault", "settings", "rule", "failure"),
    [
        (_slow, {"SMOKE_P95_MS": "100"}, "p95", None),
        (_wrong, {}, "errors", "GET /static/…: 500 instead of 200"),
        # A member logs in after three pauses.
        (
            _empty,
            {"SMOKE_SECONDS": "9"},
            "errors",
            "GET /home: the page does not show who is logged in",
        ),
    ],
)
def test_a_broken_threshold_is_exit_code_1(
    tmp_path: Path, fault: object, settings: dict[str, str], rule: str, failure: str | None
) -> None:
    app = StandIn()
    app.fault = fault  # type: ignore[assignment]
    with serving(app) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            **QUICK | {"SMOKE_SECONDS": "4"} | settings,
        )

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"smoke: BROKEN: {rule}\n" in done.stdout
    if failure:
        assert failure in done.stderr
    else:
        assert "Error report" not in done.stderr


def test_a_soak_ends_after_its_requests_and_fails_without_them(tmp_path: Path) -> None:
    sizes = {"SOAK_USERS": "4", "SOAK_RATE": "50", "STACK_LOGIN_RATE": "0"}
    with serving(StandIn()) as url:
        where = ("--profile", "soak", "--host", url, "--results", str(tmp_path))
        enough = run(*where, SOAK_REQUESTS="300", SOAK_SECONDS="60", **sizes)
        never = run(*where, SOAK_REQUESTS="9000000", SOAK_SECONDS="2", **sizes)

    assert enough.returncode == 0, enough.stdout
    assert re.search(r"kept    requests +[\d,]+   ≥ 300\n", enough.stdout)
    assert never.returncode == 1
    assert "soak: BROKEN: requests\n" in never.stdout
