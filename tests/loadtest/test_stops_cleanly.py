"""Ctrl-C and SIGTERM end a run at once, with its report, and its users log out."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.loadtest.stand_in import StandIn, serving, start

pytestmark = pytest.mark.waits


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_the_run_with_its_report(
    tmp_path: Path, number: signal.Signals, times: int
) -> None:
    """A signal to the process group of `make loadtest` arrives twice."""
    app = StandIn()
    with serving(app) as url:
        process = start(
            *("--profile", "steady", "--host", url, "--results", str(tmp_path)), STEADY_RATE="50"
        )
        _wait_for_progress(process)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.1)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    assert "stopping; interrupt again to kill it" in err
    assert "steady: interrupted after" in out
    assert "KeyboardInterrupt" not in err
    assert "Traceback" not in err
    folder = tmp_path / "steady" / "latest"
    assert "identity leak" not in (folder / "locust_failures.csv").read_text()
    assert (folder / "report.html").stat().st_size > 10_000
    assert json.loads((folder / "summary.json").read_text())["interrupted"] is True
    # The users logged out.
    assert not any("name" in session for session in app.sessions.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_late_signal_leaves_the_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    """The second signal of a process group may arrive when the report is written."""
    with serving(StandIn()) as url:
        process = start(
            *("--profile", "steady", "--host", url, "--results", str(tmp_path)), STEADY_RATE="50"
        )
        _wait_for_progress(process)
        process.send_signal(number)
        assert process.stdout
        assert any(line.startswith("steady: interrupted after") for line in process.stdout)
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.001)
        process.communicate(timeout=30)
    assert process.returncode == 130


def _wait_for_progress(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("steady  "):
            return
    raise AssertionError("the run ended without a progress line")
