"""A run that cannot start prints one line with the remedy and exits with 2 (usage) or 3."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from loadtest.target import check_answers
from tests.loadtest.stand_in import CHECKOUT, Answer, StandIn, run, serving


def test_an_unknown_profile_is_usage_and_lists_the_profiles() -> None:
    done = run("--profile", "spkie", "--host", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "there is no profile 'spkie', did you mean spike?" in done.stderr
    for name in ("smoke", "steady", "ramp", "spike", "soak"):
        assert f"  {name} " in done.stderr


def test_a_check_needs_no_server_and_no_package() -> None:
    command = [sys.executable, "-S", "-m", "loadtest", "--check", "--host", "http://127.0.0.1:1"]
    good = subprocess.run([*command, "--profile", "smoke"], cwd=CHECKOUT, check=False)
    wrong = subprocess.run([*command, "--profile", "smok"], cwd=CHECKOUT, check=False)
    assert (good.returncode, wrong.returncode) == (0, 2)


def test_make_names_a_wrong_profile_before_it_looks_for_the_stack(tmp_path: Path) -> None:
    for package in ("stack", "toggles", "loadtest"):
        shutil.copytree(CHECKOUT / package, tmp_path / package)
    environ = {"PATH": os.environ["PATH"], "PROFILE": "spkie", "STACK_NAME": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "stack", "loadtest"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there is no profile 'spkie', did you mean spike?" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_proxy_of_the_environment_is_not_asked(tmp_path: Path) -> None:
    with serving(StandIn()) as url:
        done = run(
            *("--profile", "smoke", "--host", url, "--results", str(tmp_path)),
            SMOKE_SECONDS="1", SMOKE_USERS="1", http_proxy="http://127.0.0.1:9",
        )  # fmt: skip
    assert "does not answer" not in done.stderr
    assert re.search(r"^kept +errors +0 %", done.stdout, re.M), done.stdout + done.stderr


def test_a_wrong_size_is_usage() -> None:
    done = run("--profile", "soak", "--host", "http://127.0.0.1:1", SOAK_REQUEST="5")
    assert done.returncode == 2
    assert done.stderr == ("loadtest: SOAK_REQUEST: no such figure; did you mean SOAK_REQUESTS?\n")


def test_somebody_elses_address_is_refused_before_anything_is_sent() -> None:
    done = run("--profile", "smoke", HOST="http://192.0.2.1:8080")
    assert done.returncode == 2
    assert "192.0.2.1 is not this machine" in done.stderr
    assert "ALLOW_REMOTE=yes" in done.stderr


def test_a_server_that_is_down_could_not_be_run(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and stays ours
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run("--profile", "smoke", "--host", url, "--results", str(tmp_path))
    assert done.returncode == 3
    assert f"loadtest: {url} does not answer" in done.stderr
    assert "make up" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_stack_that_is_not_ready_could_not_be_run(tmp_path: Path) -> None:
    def not_ready(method: str, path: str) -> Answer | None:
        return (503, "", {"Retry-After": "1"}) if path == "/readyz" else None

    with serving(StandIn(fault=not_ready)) as url:
        done = run("--profile", "smoke", "--host", url, "--results", str(tmp_path))
    assert done.returncode == 3
    assert "is not ready (GET /readyz: 503): look at `make status`" in done.stderr


def test_a_stack_that_was_just_started_is_asked_again() -> None:
    left = [503, 503]

    def not_yet(method: str, path: str) -> Answer | None:
        return (left.pop(), "", {"Retry-After": "1"}) if path == "/readyz" and left else None

    with serving(StandIn(fault=not_yet)) as url:
        check_answers(url)
    assert not left


def test_a_page_on_a_taken_port_could_not_be_run() -> None:
    with socket.socket() as taken, serving(StandIn()) as url:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--host", url, "--web-port", str(port))
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--web-port" in done.stderr


def test_results_that_cannot_be_written_could_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(StandIn()) as url:
        done = run("--profile", "smoke", "--host", url, "--results", str(tmp_path / "file"))
    assert done.returncode == 3
    assert "cannot write results to" in done.stderr
