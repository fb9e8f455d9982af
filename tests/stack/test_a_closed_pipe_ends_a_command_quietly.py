"""`make status | head -1`: the reader leaves before the command has printed all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
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
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environ},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_it_prints_no_traceback(lines: int) -> None:
    code = COMMAND.format(lines=lines)
    assert status_and_stderr([sys.executable, "-c", code]) == (141, "")


# A copy may be without lab/ and without the demo.
ROOMS = [["toggles"], *([["lab.cli", "quotes"]] if (CHECKOUT / "lab").is_dir() else [])]
POSTS = ["posts count", "posts purge nobody --yes"] if (CHECKOUT / "app/posts").is_dir() else []


@pytest.mark.parametrize("arguments", ROOMS, ids=" ".join)
def test_nor_does_a_command_of_another_room(arguments: list[str]) -> None:
    assert status_and_stderr([sys.executable, "-m", *arguments]) == (141, "")


@pytest.mark.parametrize("command", ["user list", *POSTS])
def test_nor_does_a_command_of_flask(redis: RedisServer, command: str) -> None:
    flask = [sys.executable, "-m", "flask", "--app", "app.wsgi", *command.split()]
    code, stderr = status_and_stderr(flask, **redis.environ, STACK_DEMO="on")
    assert (code, "Traceback" in stderr) == (141, False), stderr


SHOW = """
import sys
from pathlib import Path
from stack.commands import run
from stack.logs import show

sys.exit(run("stack", {"logs": lambda _: show(Path(sys.argv[1]), ["app"], follow=False)}, ["logs"]))
"""


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_nor_do_the_logs_of_local_processes(tmp_path: Path, lines: int) -> None:
    (tmp_path / "app.log").write_text("a line that nobody reads\n" * lines)
    assert status_and_stderr([sys.executable, "-c", SHOW, str(tmp_path)]) == (141, "")


@pytest.mark.containers
def test_nor_do_the_logs_of_containers(stack: ComposeRuntime) -> None:
    command = [sys.executable, "-m", "stack", "logs"]
    names = {"RUNTIME": "compose", "STACK_NAME": stack.name}
    assert status_and_stderr(command, **names) == (141, "")
