"""The lab's load is an ordinary Locust test: it is in the CSV files, the report and the page."""

import csv
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.measure.load_plan import Plan
from lab.tests.slow_server import BODY, CHECKOUT, Answer, Server, serving
from stack import ports
from tests.loadtest.stand_in import environment
from tests.waiting import wait_until


def _command(folder: Path, *arguments: str) -> dict[str, Any]:
    generator = CHECKOUT / "lab" / "measure" / "generator.py"
    return {
        "args": [sys.executable, "-m", "locust", "-f", str(generator), *arguments],
        "cwd": folder,
        "env": {
            **environment(),
            "PYTHONPATH": str(CHECKOUT),
            "LAB_LOAD_PLAN": str(folder / "load-plan.json"),
        },
    }


def test_locusts_own_files_have_the_measured_requests(tmp_path: Path) -> None:
    def answer(path: str, number: int) -> Answer:
        return (500, b"") if path == "/bad" and number % 20 == 0 else (200, BODY)

    with serving(Server(answer)) as server:
        targets = [server.target("good"), server.target("bad")]
        plan = Plan(kind="rotation", targets=targets, users=2, seed=1, rounds=5, slice=20)
        plan.write(tmp_path / "load-plan.json")
        headless = ("--headless", "--users=2", "--spawn-rate=2", "--loglevel=ERROR")
        files = ("--csv=found", "--html=report.html", "--json-file=found")
        locust = subprocess.run(
            **_command(tmp_path, *headless, *files),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert locust.returncode == 0, locust.stderr

    result = json.loads((tmp_path / "load-result.json").read_text())
    ours = dict(zip(("good", "bad"), result["arms"], strict=True))
    with (tmp_path / "found_stats.csv").open(newline="") as lines:
        rows = {row["Name"]: row for row in csv.DictReader(lines)}
    assert set(rows) == {"good", "bad", "Aggregated"}
    for name, arm in ours.items():
        assert arm["sent"] == 100
        assert int(rows[name]["Request Count"]) == arm["sent"]  # without the warm-up
        assert int(rows[name]["Failure Count"]) == arm["errors"]
        assert rows[name]["Type"] == "GET"
    assert ours["bad"]["errors"] > ours["good"]["errors"] == 0
    assert "500 Internal Server Error" in (tmp_path / "found_failures.csv").read_text()
    # Locust's own buckets are whole milliseconds; the lab's are tenths.
    (good,) = [
        row for row in json.loads((tmp_path / "found.json").read_text()) if row["name"] == "good"
    ]
    assert any("." in bucket and not bucket.endswith(".0") for bucket in good["response_times"])
    assert '"name": "bad"' in re.sub(r"\s+", " ", (tmp_path / "report.html").read_text())


def test_locusts_page_runs_the_plan(tmp_path: Path) -> None:
    port = ports.free()
    page = f"http://127.0.0.1:{port}"
    with serving(Server()) as server:
        plan = Plan(kind="closed", targets=[server.target("arm")], users=3, seed=1, requests=150)
        plan.write(tmp_path / "load-plan.json")
        locust = subprocess.Popen(
            **_command(tmp_path, "--web-host=127.0.0.1", f"--web-port={port}"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: _answers(page), 120)
            form = urllib.parse.urlencode({"user_count": 3, "spawn_rate": 3}).encode()
            urllib.request.urlopen(f"{page}/swarm", data=form, timeout=10).close()
            wait_until(lambda: _stats(page)["state"] == "stopped", 120)
            stats = _stats(page)
        finally:
            locust.send_signal(signal.SIGINT)
            locust.wait(timeout=20)
    (row,) = [row for row in stats["stats"] if row["name"] == "arm"]
    assert row["num_requests"] == 150
    assert json.loads((tmp_path / "load-result.json").read_text())["arms"][0]["done"] == 150


def _answers(page: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(page, timeout=10):
        return True
    return False


def _stats(page: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{page}/stats/requests", timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
    return stats
