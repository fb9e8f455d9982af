"""SIGTERM to a make target reaches the program that it runs, whose exit code is the target's."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("started", flush=True)
signal.pause()
"""
JOB = f"""
from stack import venv
venv.VirtualEnvironment.ensure = lambda *_: None
raise SystemExit(venv.run_python(["-c", {PROGRAM!r}], ()))
"""


def test_the_program_ends_and_its_exit_code_is_returned() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", JOB], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout
        assert job.stdout.readline() == "started\n"
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=20) == 7
