"""Runs an experiment: block after block, until every trial is there or was void once too often.

How a trial is measured is testbed.py's matter. Here is the order of things, what is tried again,
what a person sees meanwhile, and which exit code the end has.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from lab.judge.verdict import SETTLED
from lab.plan import schedule
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load, share
from lab.runs import Run
from lab.trial import METRICS, Metric, ShowStatus, Trial, TrialFailed, Void
from stack.progress import Progress

# The rule that voids a trial which did not come to its figures at all.
DID_NOT_RUN = "did not run"


class RunFailed(Exception):
    """The run has to end before it is complete; the text says why."""


class Bench(Protocol):
    """Makes trials, without their attempt and without what the gates say of them.

    Each method may raise TrialFailed. When its iterator is closed, early or not, nothing that it
    started is left.
    """

    def capacity(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        """The requests/s on schedule that *arm* alone can take on the path of *load*."""

    def rotate(
        self, experiment: Experiment, loads: Sequence[Load], seed: int, say: ShowStatus
    ) -> Generator[list[Trial], None, None]:
        """Start the arms side by side; for each of *loads*, yield the trials of all its arms."""

    def run_alone(
        self, solo: schedule.SoloRun, seeds: Mapping[str, int], say: ShowStatus
    ) -> Generator[Trial, None, None]:
        """Start one arm; yield a trial for each of its loads. *seeds* is by the load's name."""


class Gates(Protocol):
    """gates.py, or a test's own."""

    def judge(self, trial: Trial, *, primary: Metric) -> list[Void]: ...

    def relative(self, trials: Sequence[Trial]) -> list[list[Void]]:
        """What only neighbours can tell, in the order of *trials*: one block's, of one load."""


class Runner:
    """Works a run off. All that it has to know is in the run's folder, so it can be cut off."""

    def __init__(
        self, experiment: Experiment, run: Run, bench: Bench, gates: Gates, progress: Progress
    ) -> None:
        self._experiment = experiment
        self._run = run
        self._bench = bench
        self._gates = gates
        self._progress = progress
        self._pace = _Pace()
        self._where = self._what = ""

    def run(self) -> None:
        """Return when schedule.py has nothing more to do. Raises RunFailed."""
        experiment = self._with_rates()
        for block in range(1, self._run.plan.blocks + 1):
            # The first pass does what is missing, the next ones what was void in it. Neighbours are
            # looked at even where nothing was to do: the run may have been cut off just before.
            while self._pass(experiment, block) or self._judge_among_neighbours(block):
                self._judge_among_neighbours(block)
        self._progress.clear()
        self._run.finish()

    def _with_rates(self) -> Experiment:
        """The experiment with its shares of the capacity as requests/s, measured once a run."""
        experiment = self._experiment
        shares = [load for load in experiment.loads if share(load.rate) is not None]
        if not shares:
            return experiment
        capacity = self._run.plan.capacity_rps
        if capacity is None:
            self._where, self._what = "capacity", experiment.baseline
            try:
                capacity = self._bench.capacity(
                    experiment.arm(experiment.baseline), shares[0], self._say
                )
            except TrialFailed as error:
                raise RunFailed(f"the baseline's capacity cannot be measured: {error}") from error
            self._run.save_plan(replace(self._run.plan, capacity_rps=capacity))
            self._progress.step(f"{experiment.baseline} takes {capacity:,.0f} requests/s at most")
        loads = tuple(
            load if (part := share(load.rate)) is None else replace(load, rate=part * capacity)
            for load in experiment.loads
        )
        return replace(experiment, loads=loads)

    def _pass(self, experiment: Experiment, block: int) -> bool:
        """Do what is still to do in *block*; whether that was anything."""
        turning = schedule.rotations(experiment, block, self._run.trials)
        alone = schedule.solo_runs(experiment, block, self._run.trials)
        if turning:
            self._rotate(experiment, turning, block)
        for visit in alone:
            self._visit(experiment, visit, block)
        return bool(turning or alone)

    def _rotate(self, experiment: Experiment, loads: list[Load], block: int) -> None:
        left = loads.copy()
        seed = schedule.seed_for(experiment.seed, block, len(self._of(block)))
        self._begin(experiment, block, f"all {len(experiment.arms)} arms in turns")
        began = time.monotonic()
        try:
            with closing(self._bench.rotate(experiment, loads, seed, self._say)) as made:
                for _, trials in zip(loads, made, strict=True):
                    self._keep(block, trials)
                    del left[0]
        except TrialFailed as error:
            arms = [arm.name for load in left[:1] for arm in experiment.arms_under(load)]
            self._keep(block, [_failed(arm, left[0].name, error) for arm in arms])
            self._give_up_on(left[0].name, [t for t in self._run.trials if t.load == left[0].name])
        expected = schedule.seconds_of_rotations(experiment, loads)
        self._pace.took(time.monotonic() - began, expected, left)

    def _visit(self, experiment: Experiment, visit: schedule.SoloRun, block: int) -> None:
        left = list(visit.loads)
        seeds = {
            load.name: schedule.seed_for(experiment.seed, block, load.name) for load in visit.loads
        }
        name = visit.arm.name
        self._begin(experiment, block, name)
        began = time.monotonic()
        try:
            with closing(self._bench.run_alone(visit, seeds, self._say)) as made:
                for _, trial in zip(visit.loads, made, strict=True):
                    self._keep(block, [trial])
                    del left[0]
        except TrialFailed as error:
            self._keep(block, [_failed(name, load.name, error) for load in left])
            alone = {load.name for load in experiment.loads if load.alone}
            tried = [t for t in self._run.trials if t.arm == name and t.load in alone]
            self._give_up_on(name, tried)
        expected = schedule.seconds_of_solo_run(visit)
        self._pace.took(time.monotonic() - began, expected, left)

    def _keep(self, block: int, trials: Iterable[Trial]) -> None:
        """Judge the trials and write them down at once.

        Arms of one rotation share its number, even where an earlier one was written down in part.
        """
        kept = list(trials)
        arms = {trial.arm for trial in kept}
        before = [trial for trial in self._of(block) if trial.arm in arms]
        for trial in kept:
            trial.block = block
            trial.attempt = 1 + max((t.attempt for t in before if t.load == trial.load), default=0)
            if not trial.voids:
                trial.voids = list(self._gates.judge(trial, primary=self._primary))
            self._tell(trial, trial.voids)
        self._run.append(kept)

    def _judge_among_neighbours(self, block: int) -> bool:
        """Void what the block's other trials show to be odd; the file is written anew for it.

        Returns whether there was anything new.
        """
        found = False
        for load in self._experiment.loads:
            trials = [trial for trial in self._of(block) if trial.load == load.name]
            for trial, voids in zip(trials, self._gates.relative(trials), strict=True):
                known = {void.rule for void in trial.voids}
                new = [void for void in voids if void.rule not in known]
                trial.voids += new
                self._tell(trial, new)
                found = found or bool(new)
        if found:
            self._run.rewrite()
        return found

    def _give_up_on(self, what: str, tried: Sequence[Trial]) -> None:
        """What has never run will not in the blocks to come either. Raises RunFailed."""
        causes = [void.reason for t in tried for void in t.voids if void.rule == DID_NOT_RUN]
        if len(causes) == len(tried) and max(t.attempt for t in tried) >= schedule.ATTEMPTS:
            raise RunFailed(f"{what}: {schedule.ATTEMPTS} attempts, and none ran: {causes[-1]}")

    # ── What a person sees ──────────────────────────────────────────────────────────────────────

    def _begin(self, experiment: Experiment, block: int, what: str) -> None:
        left = schedule.seconds_left(experiment, self._run.plan.blocks, self._run.trials)
        self._pace.left(left)
        self._where, self._what = f"block {block}/{self._run.plan.blocks}", what
        self._say("starting")

    def _say(self, text: str) -> None:
        parts = [self._where]
        if (left := self._pace.seconds_left()) is not None:
            parts.append(f"{duration(left)} left")
        voided = sum(not trial.good_for(self._primary.name) for trial in self._run.trials)
        if voided:
            parts.append(f"{voided} void")
        line = " · ".join([*parts, self._what, text])
        if sys.stdout.isatty():
            # A line that is too long would not be replaced by the next one but pile up.
            line = line[: max(20, shutil.get_terminal_size().columns - 6)]
        self._progress.detail(line)

    def _tell(self, trial: Trial, voids: Sequence[Void]) -> None:
        """Voids that cost another attempt; those that spoil times alone are counted at the end."""
        if not trial.good_for(self._primary.name):
            for void in voids:
                self._progress.step(
                    f"void: block {trial.block}, {trial.arm}, {trial.load}: "
                    f"{void.rule}: {void.reason}"
                )

    @property
    def _primary(self) -> Metric:
        return METRICS[self._experiment.primary_metric]

    def _of(self, block: int) -> list[Trial]:
        return [trial for trial in self._run.trials if trial.block == block]


class _Pace:
    """How long things really take here, against what schedule.py expects of them."""

    # The expectation counts as if it had been seen for this long.
    TRUST_S = 20.0

    def __init__(self) -> None:
        self._took = self._expected = self.TRUST_S
        self._left: float | None = None
        self._at = 0.0

    def took(self, seconds: float, expected: float, left: Sequence[object]) -> None:
        """A piece of work is done; what was cut short (something is *left*) says nothing."""
        if not left:
            self._took += seconds
            self._expected += expected

    def left(self, expected: float) -> None:
        self._left = expected * self._took / self._expected
        self._at = time.monotonic()

    def seconds_left(self) -> float | None:
        if self._left is None:
            return None
        return max(0.0, self._left - (time.monotonic() - self._at))


def _failed(arm: str, load: str, error: TrialFailed) -> Trial:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    voids = [Void(DID_NOT_RUN, str(error))]
    return Trial(0, arm, load, 1, began, seconds=0.0, requests=0, voids=voids)


def describe(experiment: Experiment, run: Run, left_s: float) -> str:
    """The plan in a few lines, for people to read before anything starts."""
    metric = METRICS[experiment.primary_metric]
    names = [arm.name for arm in experiment.arms if arm.role == "arm"]
    controls = [arm.name for arm in experiment.arms if arm.role != "arm"]
    margin = f"{experiment.margin:.0%}"
    plan = run.plan
    lines = [
        f"{experiment.name}: {experiment.question}",
        f"  primary   {metric.name} ({metric.meaning}) under {experiment.primary_load!r}",
        f"  arms      {', '.join(names)}",
        f"  controls  {', '.join(controls)}; alike means within {margin}",
    ]
    for number, load in enumerate(experiment.loads):
        lines.append(f"  {'loads' if not number else '':<10}{load.name}: {_load_in_words(load)}")
    blocks = f"{plan.blocks} block{'s' * (plan.blocks != 1)}"
    lines += [
        f"  plan      {blocks}{', quick,' * plan.quick} on the {plan.runtime} runtime, "
        f"seed {plan.seed}",
        f"  time      about {duration(left_s)}",
        f"  folder    {run.folder}",
    ]
    return "\n".join(lines)


def _load_in_words(load: Load) -> str:
    users = f"{load.users} user{'s' * (load.users != 1)}"
    if load.kind == "rotation":
        return f"{load.rounds} rounds of {load.slice} requests an arm, {users}, {load.path}"
    if load.kind == "closed":
        bound = f"{load.requests:,} requests" if load.requests else f"{load.seconds:g} s"
        return f"{bound}, {users} without think time, {load.path}"
    rate = (
        f"{load.rate:g} requests/s" if isinstance(load.rate, float) else f"{load.rate} of capacity"
    )
    if load.kind == "open":
        return f"{load.seconds:g} s, {rate} on schedule, {load.path}"
    return f"{load.how} reload under {rate}, {load.path}"


def table(verdict: Mapping[str, Any]) -> Table:
    """The comparisons in the primary metric, controls included."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("arm", "compared with"):
        found.add_column(name)
    for name in ("ratio", "95 % interval", "n"):
        found.add_column(name, justify="right")
    found.add_column("verdict")
    for row in verdict["comparisons"]:
        if not row["primary"]:
            continue
        ratio, low, high = row["ratio"], row["low"], row["high"]
        interval = "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        found.add_row(
            row["arm"],
            row["baseline"],
            "-" if ratio is None else f"{ratio:.3f}",
            interval,
            str(row["n"]),
            row["verdict"],
        )
    return found


def show(verdict: Mapping[str, Any], console: Console) -> None:
    """Print the verdict as a person wants it: the table, then the answer."""
    primary = [row for row in verdict["comparisons"] if row["primary"]]
    if primary:
        metric = METRICS[primary[0]["metric"]]
        unit = f", {metric.unit}" if metric.unit else ""
        console.print(
            f"\n{metric.name} ({metric.meaning}{unit}), {primary[0]['load']}", markup=False
        )
    console.print(table(verdict))
    console.print(f"\n{verdict['answer']}", markup=False, soft_wrap=True)
    for arm, one in verdict["expectations"].items():
        if one["met"]:
            word = "as declared"
        elif one["found"] in SETTLED:
            word = f"NOT as declared, which was {one['declared']}"
        else:
            word = f"not decided; declared was {one['declared']}"
        console.print(f"{arm}: {one['found']}, {word}", markup=False)
    for claim in verdict.get("claims", ()):
        console.print(f"{claim['outcome']}: {claim['says']}", markup=False, soft_wrap=True)
    if verdict["voided"]:
        console.print(f"{verdict['voided']} trials were void.", markup=False)
    if verdict["void_by_rule"]:
        rules = ", ".join(f"{rule} {count}" for rule, count in verdict["void_by_rule"].items())
        console.print(f"By rule, those that spoil only times included: {rules}.", markup=False)


def duration(seconds: float) -> str:
    """``95`` → ``2 min``: nobody waits for seconds."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
