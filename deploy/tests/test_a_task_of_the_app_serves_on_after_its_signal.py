"""In a Swarm the app goes on for some seconds after SIGTERM, because requests still come.

The entrypoint of deploy/swarm/overlay.yml runs here with another program in place of the app's.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from stack.checkout import CHECKOUT
from tests.waiting import wait_until

PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGHUP, lambda *_: print("reloads", flush=True))
print("serves", flush=True)
while True:
    signal.pause()
"""
Start = Callable[..., subprocess.Popen[str]]


def entrypoint() -> list[str]:
    overlay = yaml.safe_load((CHECKOUT / "deploy" / "swarm" / "overlay.yml").read_text())
    return [word.replace("$$", "$") for word in overlay["services"]["app"]["entrypoint"]]


def children(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the entrypoint with another delay and Python code as the program."""
    started = []

    def run(delay: float, program: str = PROGRAM) -> subprocess.Popen[str]:
        *shell, _, _ = entrypoint()
        process = subprocess.Popen(
            [*shell, str(delay), sys.executable, "-c", program],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        # In a container the kernel ends the rest together with the first process.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_serves_on_and_then_ends_with_the_code_of_the_app(start: Start) -> None:
    process = start(5)
    assert says(process) == "serves"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: len(children(process)) == 2, 20)  # the app, and what waits
    process.send_signal(signal.SIGHUP)
    assert says(process) == "reloads"
    assert process.wait(20) == 7
    assert time.monotonic() - begun >= 5


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = start(600)
    assert says(process) == "serves"
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: len(children(process)) == 2, 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 7


def test_the_code_of_an_app_that_does_not_start_is_kept(start: Start) -> None:
    assert start(600, "raise SystemExit(22)").wait(20) == 22


def test_the_delay_is_longer_than_an_address_is_kept() -> None:
    template = (CHECKOUT / "nginx" / "templates" / "app.conf.template").read_text()
    kept = re.search(r"^resolver .* valid=(\d+)s", template, re.MULTILINE)
    assert kept
    *_, delay, program = entrypoint()
    assert float(delay) >= 2 * float(kept[1])
    assert f'ENTRYPOINT ["{program}"]' in (CHECKOUT / "uwsgi" / "Dockerfile").read_text()
