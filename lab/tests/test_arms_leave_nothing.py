"""An arm that is stopped, or that fails to start, leaves no process and no directory."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.measure import running_arm as lab
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import PROTECTED, SHAPE
from stack.errors import StackError
from stack.local import runtime
from stack.local.supervisor import Supervisor
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every instance has its files in one folder here, and its processes in one session."""
    folder = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
    sessions: set[int] = set()
    start = Supervisor.start

    def noting(self: Supervisor, *arguments: Any) -> subprocess.Popen[bytes]:
        child = start(self, *arguments)
        sessions.add(child.pid)
        return child

    def left() -> list[psutil.Process]:
        """Zombies too."""
        return [p for p in psutil.process_iter() if session_of(p.pid) in sessions]

    monkeypatch.setattr(runtime, "_TMP", str(folder))
    monkeypatch.setattr(Supervisor, "start", noting)
    try:
        yield
        assert sessions, "no copy was started: nothing was tested"
        assert [p for p in left() if state(p) not in {"", psutil.STATUS_ZOMBIE}] == []
        assert list(folder.iterdir()) == []
        # init reaps orphans with a delay.
        wait_until(lambda: not left())
    finally:
        shutil.rmtree(folder)


def state(process: psutil.Process) -> str:
    """Empty if it is gone."""
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return ""


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_a_stopped_arm_is_gone() -> None:
    """uWSGI, and two servers that start and respawn their workers differently."""
    names = ("uwsgi", "gunicorn-gthread", "granian")
    for arm in lab.start_all([ArmSpec(name, SHAPE, server=name) for name in names]):
        assert all(arm.pids().values())
        arm.stop()


def test_a_failed_start_stops_the_other_arms() -> None:
    broken = {**SHAPE, "STACK_APP": "lab.plan.canary:path"}
    with pytest.raises(StackError, match=r"arm 'broken': app does not start"):
        lab.start_all([ArmSpec("good", SHAPE), ArmSpec("broken", broken), ArmSpec("too", SHAPE)])


def test_an_arm_without_a_200_reports_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "PATIENCE_S", 3)
    with pytest.raises(StackError, match=rf"arm 'stranger': {PROTECTED} answers 3"):
        lab.start(ArmSpec("stranger", SHAPE, login="none"), path=PROTECTED)
