"""`reloads`: what clients feel of many reloads or deploys, and of the same schedule without any.

The experiment `reload` compares ways to reload, each after a fresh start. This program tries the
way that ships, again and again on one running stack. Blocks with and without reloads alternate, and
both of a pair get the same arrivals.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

from rich.table import Table

from lab.measure import counters, machine, running_arm
from lab.measure.deployed_copy import DeployedCopy, RuntimeName
from lab.measure.load import LoadResult, OpenLoop, Target
from lab.measure.reloading import LONGEST_S, QUIET_S
from lab.plan.arms import ArmSpec
from lab.plan.experiment import DEFAULT_PATH
from lab.report.terminal import Terminal
from lab.servers.reloaded import HOLD, HOLD_S
from loadtest.latest import new_folder, point_to
from stack.errors import StackError
from stack.progress import Progress

RATE = 100.0
PER_BLOCK = 10
# Under load, before memory is read for the first time.
WARM_S = 3.0
# The budget: the longest wait with reloads is at most this much above the longest without.
MORE_MS = 50.0
# The budget of deploys: the longest wait.
DEPLOY_MS = 250.0
# The old master has ended, and its memory is free.
DRAINED_S = 15.0


@dataclass(frozen=True)
class Case:
    """A stack to reload. *holds*: each reload waits for a request of 20 s that is in flight before
    it, so a tenth as many are tried. *deploys*: a new version is deployed in this runtime instead,
    a fifth as often.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    holds: bool = False
    deploys: RuntimeName | None = None

    @property
    def share(self) -> int:
        """Of so many reloads, one is tried."""
        return 10 if self.holds else 5 if self.deploys else 1


class _Stack(Protocol):
    """A running_arm.RunningArm or a DeployedCopy."""

    @property
    def address(self) -> str: ...

    @property
    def cookie(self) -> str: ...

    def pids(self) -> dict[str, list[int]]: ...

    def make_reload(self) -> None: ...

    def stop(self) -> None: ...


_APPS = "lab.servers.reloaded"
CASES = {
    "preforked": Case(),
    "lazy": Case({"STACK_LAZY_APPS": "on"}),
    "slow-import": Case({"STACK_APP": f"{_APPS}:slow()"}),
    "long-request": Case({"STACK_APP": f"{_APPS}:holding()"}, holds=True),
    "threads": Case({"STACK_APP": f"{_APPS}:threaded()", "STACK_LAZY_APPS": "on"}),
    "one-thread": Case({"STACK_PROCESSES": "1", "STACK_THREADS": "1"}),
    "deploy": Case(deploys="compose"),
    "deploy-local": Case(deploys="local"),
}


@dataclass
class Half:
    """The blocks of a case with reloads, or those without.

    blocks_ms: each block's longest wait, in the order of time, so that one outlier can be told from
    the rule. p999_ms: each block's 99.9th percentile.
    """

    requests: int = 0
    failed: int = 0
    longest_ms: float = 0.0
    faults: list[str] = field(default_factory=list)
    blocks_ms: list[float] = field(default_factory=list)
    p999_ms: list[float] = field(default_factory=list)

    def add(self, load: LoadResult) -> None:
        self.requests += load.intended
        self.failed += load.errors + load.wrong + load.dropped
        self.longest_ms = max(self.longest_ms, load.longest_wait_ms)
        self.faults += load.faults
        self.blocks_ms.append(round(load.longest_wait_ms, 1))
        self.p999_ms.append(round(load.response.percentile(99.9), 1))

    @property
    def usual_ms(self) -> float:
        """The longest wait of the middle block."""
        return median(self.blocks_ms) if self.blocks_ms else 0.0


@dataclass
class Outcome:
    """Memory is that of the app's processes (PSS), before the first and after the last reload."""

    case: str
    reloads: int = 0
    reload_s: float = 0.0  # the longest
    with_reloads: Half = field(default_factory=Half)
    without: Half = field(default_factory=Half)
    before_mb: float = 0.0
    after_mb: float = 0.0

    @property
    def met(self) -> bool:
        most_ms = self.without.longest_ms + MORE_MS
        if CASES[self.case].deploys:
            most_ms = DEPLOY_MS
        return self.with_reloads.failed == 0 and self.with_reloads.longest_ms <= most_ms


def run(options: argparse.Namespace) -> int:
    """Return 0 if each case meets the budget, else 1. Without a case, try all that reload."""
    progress = Progress.to_terminal()
    outcomes = []
    reloading = [name for name, case in CASES.items() if not case.deploys]
    for name in [options.case] if options.case else reloading:
        progress.step(f"{name}: starting")
        try:
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(_try(name, options.reloads, Path(folder), progress.step))
        except StackError as error:
            print(f"{error.log}\nreloads: {name}: {error}".strip(), file=sys.stderr)
            return 1
    made = new_folder(options.results / "reloads")
    content = {"conditions": machine.conditions(), "cases": [asdict(one) for one in outcomes]}
    (made / "reloads.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    point_to(made)
    Terminal().print(_table(outcomes))
    print(made / "reloads.json")
    return 0 if all(outcome.met for outcome in outcomes) else 1


def _try(name: str, reloads: int, folder: Path, say: Callable[[str], None]) -> Outcome:
    case = CASES[name]
    arm: _Stack
    if case.deploys:
        arm = DeployedCopy(case.deploys)
    else:
        arm = running_arm.start(ArmSpec(name, case.settings), path=DEFAULT_PATH)
    client = _Client(arm, folder, say)
    try:
        found = Outcome(name)
        reloads, per_block = max(1, reloads // case.share), PER_BLOCK // case.share
        client.block(lambda: time.sleep(WARM_S), 1, name)
        found.before_mb = _memory_mb(arm)
        while found.reloads < reloads:
            times = min(per_block, reloads - found.reloads)

            def reload() -> None:
                held = _ask(arm.address, HOLD) if case.holds else None
                begun = time.monotonic()
                arm.make_reload()
                found.reload_s = max(found.reload_s, time.monotonic() - begun)
                if held is not None and held() != 200:
                    found.with_reloads.failed += 1

            def wait() -> None:
                time.sleep(HOLD_S if case.holds else found.reload_s)

            halves = [(found.with_reloads, reload), (found.without, wait)]
            # The first block with reloads tells how long one takes.
            if found.reloads // per_block % 2:
                halves.reverse()
            for half, step in halves:
                say(f"{name}: {found.reloads} of {reloads} reloads, {half.failed} failed requests")
                half.add(client.block(step, times, f"{name} {found.reloads}"))
            found.reloads += times
        time.sleep(DRAINED_S)
        found.after_mb = _memory_mb(arm)
        return found
    finally:
        arm.stop()


@dataclass(frozen=True)
class _Client:
    arm: _Stack
    folder: Path
    say: Callable[[str], None]

    def block(self, step: Callable[[], None], times: int, seed: str) -> LoadResult:
        """Do *step* so often while requests arrive, with a pause before and after each."""
        arm = self.arm
        loop = OpenLoop(
            Target(name="reloads", address=arm.address, path=DEFAULT_PATH, cookie=arm.cookie),
            rate=RATE,
            seconds=LONGEST_S,
            warm_s=QUIET_S,
            seed=seed,
            folder=self.folder,
            progress=self.say,
        )
        with loop:
            loop.start()
            for _ in range(times):
                time.sleep(QUIET_S)
                step()
            time.sleep(QUIET_S)
            loop.finish()
            return loop.wait()


def _ask(address: str, path: str) -> Callable[[], int]:
    """Send a request in the background; the result waits for its answer and returns the status."""

    def get() -> int:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=2 * HOLD_S)
        with closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                return 0

    pool = ThreadPoolExecutor(1)
    answer = pool.submit(get)
    pool.shutdown(wait=False)
    time.sleep(0.2)  # it has reached its worker
    return answer.result


def _memory_mb(arm: _Stack) -> float:
    return counters.memory(arm.pids()["app"]).pss_bytes / 1e6


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("case", "reloads", "requests", "failed", "longest wait", "median block", "memory", "")
    for name in names:
        table.add_column(name, justify="left" if name in ("case", "") else "right")
    for one in outcomes:
        for half, what in ((one.with_reloads, str(one.reloads)), (one.without, "none")):
            first = half is one.with_reloads
            table.add_row(
                one.case if first else "",
                what,
                f"{half.requests:,}",
                str(half.failed),
                f"{half.longest_ms:.0f} ms",
                f"{half.usual_ms:.0f} ms",
                f"{one.before_mb:.0f} to {one.after_mb:.0f} MB" if first else "",
                ("met" if one.met else "NOT met") if first else "",
            )
    return table
