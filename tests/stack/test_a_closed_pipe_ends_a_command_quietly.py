"""`make status | head -1`: the reader leaves before the command has printed all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stack.checkout import CHECKOUT
from tests.servers.redis import RedisServer

COMMAND = """
import sys
from stack.commands import run

def many(environ):
    for _ in range({lines}):
        print("a line that nobody reads")
    return 0

sys.exit(run("stack", {{"many": many}}, ["many"]))
"""


def status_and_stderr(command: list[str], **environ: str) -> tuple[int, str]:
    """Run a command whose stdout has no reader."""
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_it_prints_no_traceback(lines: int) -> None:
    code = COMMAND.format(lines=lines)
    assert status_and_stderr([sys.executable, "-c", code]) == (141, "")


@pytest.mark.parametrize("arguments", [["toggles"], ["lab.cli", "quotes"]], ids=" ".join)
def test_nor_does_a_command_of_another_room(arguments: list[str]) -> None:
    if not (CHECKOUT / arguments[0].partition(".")[0]).is_dir():
        return  # a copy without this unit
    assert status_and_stderr([sys.executable, "-m", *arguments]) == (141, "")


def test_nor_does_a_command_of_flask(redis: RedisServer) -> None:
    flask = [sys.executable, "-m", "flask", "--app", "app.wsgi"]
    code, stderr = status_and_stderr([*flask, "user", "list"], **redis.environ, STACK_DEMO="on")
    assert (code, "Traceback" in stderr) == (141, False), stderr
