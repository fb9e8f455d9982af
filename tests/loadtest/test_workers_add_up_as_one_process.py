"""A run with workers counts, checks and judges as one process does, and says when it cannot."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import ports
from stack.checkout import CHECKOUT
from tests.loadtest.stand_in import StandIn, environment, run, serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

QUICK = {"SMOKE_SECONDS": "8", "SMOKE_RATE": "50", "SMOKE_USERS": "6"}


def test_two_workers_count_every_request_and_every_check(tmp_path: Path) -> None:
    app = StandIn()
    app.leak = "whoami"
    with serving(app) as url:
        done = run(
            *("--profile", "smoke", "--results", str(tmp_path), "--workers", "2"),
            **{**QUICK, "STACK_LOGIN_RATE": "0"},
            HOST=url,
        )
    summary = json.loads((tmp_path / "smoke" / "latest" / "summary.json").read_text())
    seen = [path for _, path, _ in app.log if path != "/readyz"]

    assert summary["requests"] == len(seen) == sum(row["num_requests"] for row in summary["rows"])
    times = [sum(row["response_times"].values()) for row in summary["rows"]]
    assert sum(times) == len(seen)
    # Both workers have members, with names of their own.
    assert {name.rpartition("-")[2][:-4] for name in app.accounts} == {"", "100"}
    pages = [1 for method, path, status in app.log if path == "/home" and status == 200]
    assert summary["identity_checks"] >= len(pages) + len(app.statuses("GET /auth/whoami$")) / 2
    leaks = (tmp_path / "smoke" / "latest" / "identity-leaks.jsonl").read_text().splitlines()
    assert summary["leaks"] == len(leaks) > 0
    assert re.search(r"^kept    workers +2   ≥ 2$", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 1
    # The users logged out.
    assert not any("name" in session for session in app.sessions.values())


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_worker_is_told_and_fails_the_run(tmp_path: Path, lost: int) -> None:
    with serving(StandIn()) as url:
        process = start(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path), "--workers", "2"),
            **{**QUICK, "SMOKE_SECONDS": "14"},
        )
        assert process.stdout
        for line in process.stdout:
            if line.startswith("smoke  "):
                break
        for pid in children(process)[:lost]:
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=120)

    assert process.returncode == 1, out + err
    assert "of 2 workers lost" in err
    assert re.search(rf"^BROKEN  workers +{2 - lost}   ≥ 2$", out, re.MULTILINE), out
    assert "interrupted" not in out


def test_a_worker_that_never_comes_is_an_error(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            *("--workers", "2", "--listen", "127.0.0.1:0", "--wait", "6"),
        )
    assert done.returncode == 3
    assert "loadtest: 0 of 2 workers connected within 6 s" in done.stderr
    # Time that nobody measured is no progress.
    assert "0 requests" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_workers(tmp_path: Path, number: signal.Signals) -> None:
    with serving(StandIn()) as url:
        process = start(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            *("--workers", "2", "--listen", "127.0.0.1:0"),
        )
        assert process.stdout
        for line in process.stdout:
            if line == "waiting for 2 workers\n":
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=30)  # the wait has 60 s
    assert process.returncode == 130, out + err
    assert "interrupted while 0 of 2 workers were connected" in err


def test_the_page_tells_of_workers_that_are_lost_or_never_come() -> None:
    with serving(StandIn()) as url:
        absent = start(
            *("--host", url, "--web-port", str(ports.free())),
            *("--workers", "2", "--listen", "127.0.0.1:0", "--wait", "1"),
        )
        process = start("--host", url, "--web-port", str(ports.free()), "--workers", "2")
        wait_until(lambda: len(children(process)) == 2, 60)
        assert process.stdout
        for line in process.stdout:
            if line.startswith("2 of 2 workers are connected"):
                break
        os.kill(children(process)[0], signal.SIGKILL)
        assert process.stderr
        for line in process.stderr:
            if "lost" in line:
                break
        else:
            raise AssertionError("the page ended")
        process.send_signal(signal.SIGINT)
        _, after = process.communicate(timeout=60)
        _, err = absent.communicate(timeout=60)
    assert line == "loadtest: 1 of 2 workers lost, with their users and last statistics\n"
    assert "lost" not in after
    assert process.returncode == 0
    assert "loadtest: 0 of 2 workers connected within 1 s" in err
    assert absent.returncode == 3


def test_ctrl_c_ends_the_workers_with_a_report(tmp_path: Path) -> None:
    app = StandIn()
    with serving(app) as url:
        process = start(
            *("--profile", "steady", "--host", url, "--results", str(tmp_path), "--workers", "2"),
            STEADY_RATE="50",
        )
        assert process.stdout
        for line in process.stdout:
            if line.startswith("steady  "):
                break
        workers = children(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130, out + err
    assert "steady: interrupted after" in out
    assert "Traceback" not in err
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))
    assert not any("name" in session for session in app.sessions.values())


def test_workers_end_with_a_master_that_is_killed(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        process = start(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path), "--workers", "2")
        )
        wait_until(lambda: len(children(process)) == 2)
        workers = children(process)
        wait_until(lambda: all(is_locust(pid) for pid in workers))
        process.kill()
        process.communicate(timeout=30)
    wait_until(lambda: not any(is_locust(pid) for pid in workers))


def test_a_worker_for_another_machine_outlives_the_shell_that_started_it() -> None:
    """Its parent is a shell, an ssh or a container's runtime, and not the master."""
    program = [sys.executable, "-m", "loadtest", f"--worker=127.0.0.1:{ports.free()}"]
    shell = subprocess.Popen(
        ["sh", "-c", f"{shlex.join(program)} >/dev/null 2>&1 & echo $!; read -r _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(),
    )  # fmt: skip
    assert shell.stdout
    worker = int(shell.stdout.readline())
    try:
        wait_until(lambda: is_locust(worker))
        shell.communicate(timeout=10)
        assert is_locust(worker)
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("workers", ["0", "two", "65"])
def test_a_wrong_number_is_usage(workers: str) -> None:
    done = run("--host", "http://127.0.0.1:1", "--workers", workers, "--check")
    assert done.returncode == 2
    assert f"WORKERS='{workers}': must be a whole number from 1 to 64" in done.stderr


def is_locust(pid: int) -> bool:
    try:
        return b"plain_locust" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def children(process: "subprocess.Popen[str]") -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]
