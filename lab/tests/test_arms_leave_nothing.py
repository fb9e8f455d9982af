"""An arm that was stopped, or could not be started, leaves no process and no directory."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.measure import running_arm as lab
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import PROTECTED, SHAPE
from stack import processes
from stack.errors import StackError
from stack.local import runtime
from stack.local.supervisor import Supervisor
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every copy keeps its files in one folder here, and its processes in a session of its own."""
    folder = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
    sessions: set[int] = set()
    start = Supervisor.start

    def noting(self: Supervisor, *arguments: Any) -> subprocess.Popen[bytes]:
        child = start(self, *arguments)
        sessions.add(child.pid)
        return child

    def left() -> list[processes.Process]:
        return [p for p in processes.running(zombies=True) if p.session in sessions]

    monkeypatch.setattr(runtime, "_TMP", str(folder))
    monkeypatch.setattr(Supervisor, "start", noting)
    try:
        yield
        assert sessions, "no copy was started: nothing was tested"
        assert [p for p in left() if p.state not in "ZX"] == []
        assert list(folder.iterdir()) == []
        # Who lost its parent is buried by the system, which takes its time.
        wait_until(lambda: not left(), 15)
    finally:
        shutil.rmtree(folder)


def test_a_stopped_arm_is_gone() -> None:
    """uWSGI, and two that start and respawn their workers in other ways."""
    names = ("uwsgi", "gunicorn-gthread", "granian")
    for arm in lab.start_all([ArmSpec(name, SHAPE, server=name) for name in names]):
        assert all(arm.pids().values())
        arm.stop()


def test_one_that_cannot_start_takes_the_others_along() -> None:
    broken = {**SHAPE, "STACK_APP": "lab.plan.canary:path"}
    with pytest.raises(StackError, match=r"arm 'broken': app does not start"):
        lab.start_all([ArmSpec("good", SHAPE), ArmSpec("broken", broken), ArmSpec("too", SHAPE)])


def test_one_that_does_not_answer_200_says_what_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "PATIENCE_S", 0.5)
    with pytest.raises(StackError, match=rf"arm 'stranger': {PROTECTED} answers 3"):
        lab.start(ArmSpec("stranger", SHAPE, login="none"), path=PROTECTED)
