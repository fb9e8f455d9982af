"""`make experiments`: the published experiments one after the other, unattended.

Each runs in a process of its own, so that one that hangs or breaks ends alone. The same command
continues a series that was interrupted: what is complete for the files as they are is kept.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from lab import compare
from lab.plan import schedule
from lab.plan.experiment import Experiment
from lab.report.data import ReportError, RunData
from lab.runs import Plan, ResultsError, Run, latest

# Beside the blocks: the cost of the baseline, the judging and the pictures.
AROUND_S = 40.0
# A run that takes so much longer than its share is stopped: it hangs, or the machine is too busy.
PATIENCE, GRACE_S = 1.5, 300.0
# The clean-up after an interrupt takes some seconds. The report of the largest run takes a minute.
STOP_WITHIN_S, REPORT_WITHIN_S = 120.0, 600.0
# No file that a run writes has a reason to be larger.
FILE_BYTES = 1_000_000_000
# The outcome of a rehearsal.
RAN = "every arm ran under every load"


class SeriesError(Exception):
    """The series cannot be started. The text says what to change."""


@dataclass
class Item:
    """An experiment of the series. *plan* is what a run of it would be now."""

    experiment: Experiment
    plan: Plan
    results: Path
    took_s: float = 0.0
    fault: str = ""
    kept: bool = False  # it was complete before

    @property
    def name(self) -> str:
        return self.experiment.name

    def run(self) -> Run | None:
        """The newest run, if it has the same experiment, files and machine."""
        folder = latest(self.name, self.results)
        try:
            found = Run.open(folder) if folder else None
        except ResultsError:
            return None
        if found is None or (self.plan.minutes is not None and found.plan.minutes is None):
            return None
        return None if found.plan.differences(self.plan) else found

    def changes(self) -> list[str]:
        """What has changed between the plan and the newest run, such as the files: `tree`."""
        folder = latest(self.name, self.results)
        try:
            return Run.open(folder).plan.differences(self.plan) if folder else []
        except ResultsError:
            return []

    def is_complete(self) -> bool:
        found = self.run()
        return found is not None and found.plan.finished is not None

    def seconds(self, blocks: int) -> float:
        """The expected time that *blocks* blocks in all still take."""
        found = self.run()
        trials = found.trials if found and found.plan.finished is None else []
        return AROUND_S + schedule.seconds_left(self.experiment, blocks, trials)


class Series:
    """Runs *items*, the shortest first: from them it learns how fast the machine is."""

    def __init__(
        self, items: Sequence[Item], *, hours: float, publish: bool, fresh: bool, rehearsal: bool
    ) -> None:
        """Raises SeriesError if *hours* are too short."""
        self.items = sorted(items, key=lambda item: item.seconds(schedule.DEFAULT_BLOCKS))
        for item in self.items:
            item.kept = not fresh and not rehearsal and item.is_complete()
        self._publish, self._fresh, self._rehearsal = publish, fresh, rehearsal
        self._blocks = schedule.REHEARSED_BLOCKS if rehearsal else compare.LEAST_CHOSEN
        self._began = time.monotonic()
        self._ends = self._began + 3600 * hours
        self._took = self._expected = 0.0
        least = sum(item.seconds(self._blocks) for item in self.items if not item.kept)
        if least > 3600 * hours:
            raise SeriesError(
                f"{self._blocks} blocks of these experiments take about "
                f"{compare.duration(least)}: HOURS must be at least {least / 3600 + 0.05:.1f}, "
                "or name fewer experiments"
            )

    def run(self) -> None:
        """Run what is missing. KeyboardInterrupt passes through when the current run has ended."""
        kept = [item for item in self.items if item.kept]
        print(f"experiments: {len(self.items)}, of which {len(kept)} are complete", flush=True)
        for item in self.items:
            state = "complete" if item.kept else "half done" if item.run() else "new"
            print(f"  {item.name:<24}{'new' if self._fresh else state}")
        for item in kept:
            self._report(item)
        missing = [item for item in self.items if not item.kept]
        for number, item in enumerate(missing):
            self._forecast(missing[number:])
            if time.monotonic() > self._ends:
                item.fault = "not run: the time is over"
                continue
            minutes = self._share_s(item, missing[number:]) / 60
            self._run(item, minutes, f"[{len(kept) + number + 1}/{len(self.items)}] {item.name}")

    def _run(self, item: Item, minutes: float, title: str) -> None:
        limit = PATIENCE * 60 * minutes + GRACE_S
        print(f"\n{title}: has {minutes:.0f} min, is stopped at {clock(limit)}", flush=True)
        command = ["compare", item.name]
        command += ["--rehearsal"] if self._rehearsal else [f"--minutes={minutes:.1f}"]
        command += ["--fresh"] if self._fresh or self._rehearsal else []
        before, began = item.run(), time.monotonic()
        code = lab(item.results, command, limit)
        item.took_s = time.monotonic() - began
        done = item.run()
        if code is None:
            item.fault = f"stopped after {compare.duration(item.took_s)}"
        elif done is None or done.plan.finished is None:
            changed = f": other {', '.join(item.changes())}" if item.changes() else ""
            item.fault = f"ended with exit code {code}{changed}"
        else:
            trials = before.trials if before else []
            self._took += item.took_s
            self._expected += AROUND_S + schedule.seconds_left(
                item.experiment, done.plan.blocks, trials
            )
            self._report(item)

    def _report(self, item: Item) -> None:
        """Judge and publish a complete run; what fails here can be repeated by `make report`."""
        if self._publish:
            code = lab(
                item.results, ["report", "--publish", item.name], REPORT_WITHIN_S, quiet=True
            )
            if code not in (0, 1, 3):
                item.fault = f"not published: make report EXPERIMENT={item.name} PUBLISH=1"

    def _share_s(self, item: Item, missing: Sequence[Item]) -> float:
        """The time for *item*: its share of what is left, between what the fewest and the most
        blocks take."""
        left = self._ends - time.monotonic()
        usual = [one.seconds(schedule.DEFAULT_BLOCKS) for one in missing]
        share = left * item.seconds(schedule.DEFAULT_BLOCKS) / sum(usual)
        most = self._blocks if self._rehearsal else compare.MOST_CHOSEN
        share = min(share, self._speed() * item.seconds(most))
        return max(share, self._speed() * item.seconds(self._blocks))

    def _speed(self) -> float:
        """What the finished runs took, as a multiple of what was expected."""
        return self._took / self._expected if self._expected else 1.0

    def _forecast(self, missing: Sequence[Item]) -> None:
        now = time.monotonic()
        usual = self._speed() * sum(one.seconds(self._blocks) for one in missing)
        limits = [PATIENCE * self._share_s(one, missing) + GRACE_S for one in missing]
        latest_s = min(sum(limits), max(0.0, self._ends - now) + max(limits))
        print(
            f"\n{len(missing)} left: with {self._blocks} blocks each they end at {clock(usual)}, "
            f"at the latest at {clock(latest_s)}",
            flush=True,
        )

    def show(self, console: Console) -> int:
        """Print what came out; return the exit code: 0 if every run is complete and believed."""
        table = Table(box=None, pad_edge=False, header_style="bold", title="What came out")
        for name in ("experiment", "", "blocks", "minutes", "answer"):
            table.add_column(name, justify="right" if name in ("blocks", "minutes") else "left")
        believed = 0
        for item in self.items:
            found, blocks, answer = item.fault or "not run", "", ""
            run = item.run()
            if run is not None and run.plan.finished and self._rehearsal:
                found, blocks = rehearsed(run), str(run.plan.blocks)
                item.fault = "" if found == RAN else found
                believed += found == RAN
            elif run is not None and run.plan.finished:
                data = self._data(run)
                if data is None:
                    found = "not judged"
                else:
                    blocks, answer = str(run.plan.blocks), data.verdict["headline"]
                    believed += data.trustworthy and not item.fault
                    found = "believed" if data.trustworthy else "UNTRUSTWORTHY"
                    answer = answer if data.trustworthy else data.verdict["why"]
                    found = f"{found}, {item.fault}" if item.fault else found
            minutes = "kept" if item.kept else f"{item.took_s / 60:.1f}"
            table.add_row(item.name, found, blocks, minutes, str(answer))
        console.print()
        console.print(table, markup=False)
        took = compare.duration(time.monotonic() - self._began)
        what = "ran whole" if self._rehearsal else "are believed"
        console.print(f"\n{believed} of {len(self.items)} {what}; took {took}.")
        return 0 if believed == len(self.items) else 3

    @staticmethod
    def _data(run: Run) -> RunData | None:
        try:
            return RunData.read(run.folder)
        except ReportError:
            return None


def rehearsed(run: Run) -> str:
    """RAN, or what never ran."""
    every = {(trial.arm, trial.load) for trial in run.trials}
    ran = {
        (trial.arm, trial.load)
        for trial in run.trials
        if compare.DID_NOT_RUN not in {void.rule for void in trial.voids}
    }
    missing = sorted(f"{arm} under {load}" for arm, load in every - ran)
    return f"never ran: {'; '.join(missing)}" if missing else RAN


def clock(seconds: float) -> str:
    """The local time in *seconds*."""
    return f"{datetime.now().astimezone() + timedelta(seconds=max(0.0, seconds)):%H:%M}"


def lab(
    results: Path, arguments: Sequence[str], limit_s: float, *, quiet: bool = False
) -> int | None:
    """Run a command of the lab; return its exit code, or None if it was stopped after *limit_s*.

    An interrupt is passed on, and raised when the command has ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.cli", f"--results={results}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
    )
    with suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        print(f"\n{arguments[0]}: stopped, because its time is over", file=sys.stderr, flush=True)
        return None
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let *process* clean up, and kill it with all that it started if it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WITHIN_S)
    if process.poll() is None:
        # Its servers have sessions of their own.
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
