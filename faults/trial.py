"""Tries one fault: quiet, the fault, and the time until everything is quiet again."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from faults.fault import BrokenPromise, Fault
from faults.stage import DEPLOY_MOST_S, Stage
from faults.users import Users, counted
from stack.errors import StackError

RATE = 20.0  # requests a second
WARM_S = 2.0
# As long without a failed request, and the service counts as back.
CALM_S = 3.0


@dataclass
class Outcome:
    """What one fault did. Times are in seconds."""

    fault: str
    runtime: str
    during: str = ""
    requests: int = 0
    failed: int = 0
    by_outcome: dict[str, int] = field(default_factory=dict)
    longest_s: float = 0.0  # wait of a request that succeeded
    usual_s: float = 0.0  # the median before the fault
    back_s: float = 0.0  # from the end of the fault to the last request that failed
    within_s: float = 0.0
    run: str = ""  # the date and the commit
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: str = ""
    swap: str = ""
    # Why it was not tried here.
    missing: str = ""
    # The promises that the stack did not keep.
    broken: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def attempt(fault: Fault, stage: Stage, during: str = "", rate: float = RATE) -> Outcome:
    """Strike *stage* with *fault* while people use it."""
    outcome = Outcome(fault.name, stage.kind, during, within_s=fault.within_s)
    stage.notes.clear()
    service, pattern = fault.log
    before = len(stage.log(service)) if service else 0
    swap = _Swap(stage, during)
    with Users(stage.address, rate, may_be_logged_out=fault.restores) as users:
        time.sleep(WARM_S)
        if early := [answer for answer in users.answers() if answer.failed]:
            outcome.broken.append(f"requests failed before the fault: {counted(early)}")
        waits = sorted(answer.seconds for answer in users.answers())
        outcome.usual_s = waits[len(waits) // 2] if waits else 0.0
        struck = time.monotonic()
        try:
            with fault.strike(stage):
                if during:
                    swap.start()
                _pass(stage, users, struck, fault.hold_s)
        except BrokenPromise as broken:
            outcome.broken.append(str(broken))
        except (StackError, OSError, KeyError) as error:
            outcome.broken.append(f"the fault could not be made: {error}")
        ended = time.monotonic()
        if not _calm(stage, users, ended, fault.within_s):
            outcome.broken.append(f"requests still fail {fault.within_s:.0f} s after the fault")
        if during:
            outcome.swap = swap.result()
            if not _calm(stage, users, time.monotonic(), fault.within_s):
                outcome.broken.append(f"requests still fail after the {during}")
    answers = users.answers(struck)
    last = users.last_failure(struck)
    outcome.requests = len(answers)
    outcome.failed = sum(answer.failed for answer in answers)
    outcome.by_outcome = counted([answer for answer in answers if answer.failed])
    outcome.longest_s = max((a.seconds for a in answers if not a.failed), default=0.0)
    outcome.back_s = max(0.0, last - ended) if last is not None else 0.0
    outcome.acknowledged = users.acknowledged()
    outcome.notes = list(stage.notes)
    if not fault.restores:
        _read_back(users, outcome)
    # A deploy removes the container of the app, and its log.
    if service and during != "deploy":
        outcome.log = _line(stage, service, pattern, before)
        if not outcome.log:
            outcome.broken.append(f"the log of {service} has no line like {pattern}")
    return outcome


def _pass(stage: Stage, users: Users, struck: float, seconds: float) -> None:
    while (passed := time.monotonic() - struck) < seconds:
        _show(stage, users, struck, f"{passed:.0f} of {seconds:.0f} s")
        time.sleep(min(0.5, seconds - passed))


def _calm(stage: Stage, users: Users, ended: float, within_s: float) -> bool:
    """Wait until no request has failed for CALM_S and none waits from before."""
    while True:
        now = time.monotonic()
        failure = users.last_failure(ended) or ended
        if failure - ended > within_s:
            return False
        if now - failure > CALM_S and users.waiting() < RATE:
            return True
        if now - ended > within_s + CALM_S + 30:
            return False
        _show(stage, users, ended, "waiting until no request fails")
        time.sleep(0.2)


def _show(stage: Stage, users: Users, since: float, what: str) -> None:
    answers = users.answers(since)
    failed = sum(answer.failed for answer in answers)
    stage.progress.detail(f"{what}: {failed} of {len(answers)} requests failed")


def _read_back(users: Users, outcome: Outcome) -> None:
    try:
        outcome.lost = users.lost()
    except (OSError, ValueError) as error:
        outcome.broken.append(f"what was acknowledged cannot be read: {error}")
    if outcome.lost:
        outcome.broken.append(f"{len(outcome.lost)} acknowledged writes are lost")
    if wrong := outcome.by_outcome.get("another's session"):
        outcome.broken.append(f"{wrong} requests got another person's session")


def _line(stage: Stage, service: str, pattern: str, before: int) -> str:
    """Return the first line since *before* that shows the fault; wait for it for a moment."""
    deadline = time.monotonic() + 5
    while True:
        log = stage.log(service)
        for line in log[before if len(log) >= before else 0 :].splitlines():
            if re.search(pattern, line):
                return line.strip()
        if time.monotonic() > deadline:
            return ""
        time.sleep(0.5)


class _Swap(threading.Thread):
    """A reload or a deploy in the middle of a fault."""

    def __init__(self, stage: Stage, kind: str) -> None:
        super().__init__(daemon=True)
        self._swap = stage.deploy if kind == "deploy" else stage.runtime.reload
        self._said = f"it did not end within {DEPLOY_MOST_S} s"

    def run(self) -> None:
        begun = time.monotonic()
        try:
            self._swap()
            self._said = f"done after {time.monotonic() - begun:.1f} s"
        except (StackError, OSError, subprocess.TimeoutExpired) as error:
            self._said = f"refused: {str(error).splitlines()[0]}"

    def result(self) -> str:
        self.join(DEPLOY_MOST_S)
        return self._said
