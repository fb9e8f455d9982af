"""`make status | head -1`: the reader leaves before the command has printed all."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import sys
from stack.commands import run

def many(environ):
    for _ in range({lines}):
        print("a line that nobody reads")
    return 0

sys.exit(run("stack", {{"many": many}}, ["many"]))
"""


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_it_prints_no_traceback(lines: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(lines=lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(20) == 141
    process.stderr.close()
