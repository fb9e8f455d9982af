"""A real run that Ctrl-C interrupts while its arms start leaves nothing and can be continued."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.long

CHECKOUT = Path(__file__).resolve().parents[2]
# Much stolen CPU time makes trials void, and they are repeated.
PATIENCE_S = 900

TINY = """\
question = "Is one process as good as two for one client?"
primary  = { metric = "cpu_us", load = "turns" }
baseline = "two"
canary   = "burn_40"
[loads]
turns = { kind = "rotation", rounds = 3, slice = 10, path = "/workload/protected" }
[arms]
two = { STACK_PROCESSES = 2, STACK_THREADS = 1 }
one = { STACK_PROCESSES = 1, STACK_THREADS = 1 }
"""


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab.cli", f"--results={folder / 'results'}", *arguments]


def lab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def wait_for_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The descendants of *process*, once uWSGI is among them."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        family = psutil.Process(process.pid).children(recursive=True)
        if any(name_of(member) == "uwsgi" for member in family):
            return family
        time.sleep(0.05)
    pytest.fail("no uWSGI was started")


def name_of(member: psutil.Process) -> str:
    """Its name; nothing for one that has ended since it was listed."""
    try:
        return str(member.name())
    except psutil.NoSuchProcess:
        return ""


def directories(family: Sequence[psutil.Process]) -> set[Path]:
    """The run directories of the arms, from supervisord's command line."""
    found = set()
    for member in family:
        try:
            words = member.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "--configuration" in words:
            found.add(Path(words[words.index("--configuration") + 1]).parent)
    return found


def test_ctrl_c_leaves_nothing_and_the_same_command_continues(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY, encoding="utf-8")
    arguments = ("compare", str(file), "--blocks=2")
    process = subprocess.Popen(
        command(tmp_path, *arguments), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        family = wait_for_workers(process)
        made = directories(family)
        # Twice: the second one must not interrupt the clean-up.
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=PATIENCE_S)[0]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "no process is left. The same command continues in" in said
    assert made
    assert not [directory for directory in made if directory.exists()]
    assert not psutil.wait_procs(family, timeout=60)[1]

    again = lab(tmp_path, *arguments)
    assert "Continues with" in again.stdout
    assert "2 blocks decide nothing" in again.stdout
    assert again.returncode == 3, again.stdout + again.stderr
    folder = tmp_path / "results" / "tiny" / "latest"
    trials = (folder / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    arms = {(t["block"], t["arm"]) for t in map(json.loads, trials)}
    assert len(arms) == 2 * 5
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["trustworthy"] is False
    assert str(folder.resolve() / "report.html") in again.stdout.replace("\n", "")
    assert (folder / "report.html").is_file()

    (folder / "report.html").unlink()
    rendered = lab(tmp_path, "report")
    assert rendered.returncode == 3
    assert (folder / "report.html").is_file()

    anew = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert anew["finished"] is not None
