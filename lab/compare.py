"""Conducts a run: block by block, until every trial is good or has used up its attempts.

plan/schedule.py decides what remains, measure/testbed.py measures it, judge/gates.py voids it, and
runs.py stores it. Everything that the conductor needs to continue is in the run's folder.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from lab.judge.looks import FIRST_LOOK
from lab.plan import schedule
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load, share
from lab.runs import Run
from lab.trial import METRICS, Metric, ShowStatus, Trial, TrialFailed, Void
from stack.progress import Progress

# The blocks after which the run says whether its number of blocks is enough.
PILOT = 3

# A plan with `minutes` takes so many. Holm's correction for a few arms needs eight.
LEAST_CHOSEN, MOST_CHOSEN = 8, 20

# The rule of a trial without figures.
DID_NOT_RUN = "did not run"


class RunFailed(Exception):
    """The run cannot be completed. The text says why."""


class Bench(Protocol):
    """Makes trials: measure.testbed.Testbed, or a fake.

    The trials have no attempt number and no voids yet. Each method may raise TrialFailed. Closing
    an iterator stops everything that it started.
    """

    def capacity(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        """The highest rate, in requests/s, that *arm* serves on schedule on the path of *load*."""

    def cost(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        """The CPU time per request of *arm* under *load*, in µs, to choose the canary's dose."""

    def rotate(
        self, experiment: Experiment, loads: Sequence[Load], seed: int, say: ShowStatus
    ) -> Generator[list[Trial], None, None]:
        """Start the arms side by side; for each of *loads*, yield the trials of all its arms."""

    def run_alone(
        self, solo: schedule.SoloRun, seeds: Mapping[str, int], say: ShowStatus
    ) -> Generator[Trial, None, None]:
        """Start one arm; yield a trial for each of its loads. *seeds*: by the load's name."""


class Gates(Protocol):
    """judge/gates.py, or a fake."""

    def judge(self, trial: Trial, *, primary: Metric) -> list[Void]: ...

    def relative(self, trials: Sequence[Trial]) -> list[list[Void]]:
        """The voids that only a comparison within a block and load shows, for each of *trials*."""


# judge/power.py: forecast, or nothing.
Forecast = Callable[[Experiment, Sequence[Trial], int], str]

# judge/power.py: enough_blocks, or nothing.
EnoughBlocks = Callable[[Experiment, Sequence[Trial], int], int]


# judge/verdict.py: knows, or nothing.
Knows = Callable[[Experiment, Sequence[Trial]], bool]


class Runner:
    """Conducts one run."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        bench: Bench,
        gates: Gates,
        progress: Progress,
        *,
        forecast: Forecast | None = None,
        knows: Knows | None = None,
        enough_blocks: EnoughBlocks | None = None,
    ) -> None:
        """*knows*: whether the trials settle everything; None: the run has a fixed number of
        blocks. *enough_blocks*: how many a plan with `minutes` takes, and a most of them at which
        it stops looking."""
        self._experiment = experiment
        self._run = run
        self._bench = bench
        self._gates = gates
        self._progress = progress
        self._forecast = forecast
        self._knows = knows
        self._enough_blocks = enough_blocks
        self._clock = _RemainingTime()
        self._phase = self._subject = ""
        self._began = time.monotonic()

    def run(self) -> None:
        """Measure everything that remains. Raises RunFailed."""
        experiment = self._with_rates(self._with_doses())
        block = 0
        while block < self._run.plan.blocks:
            block += 1
            # The first pass measures what is missing, later ones repeat what was void. A complete
            # block is compared as well: the run may have been interrupted just before that.
            while self._pass(experiment, block) or self._compare_within(block):
                self._compare_within(block)
            if block == PILOT:
                self._choose_blocks(experiment)
            if block == PILOT < self._run.plan.blocks and self._forecast is not None:
                text = self._forecast(experiment, self._run.trials, self._run.plan.blocks)
                self._progress.step(text)
            if block < self._run.plan.blocks and self._may_stop(experiment, block):
                self._progress.step(f"every comparison is settled after {block} blocks")
                break
            if block < self._run.plan.blocks and self._is_late(block):
                self._run.save_plan(replace(self._run.plan, blocks=block))
                self._progress.step(f"the time is over after {block} blocks")
        self._progress.clear()
        self._run.finish()

    def _choose_blocks(self, experiment: Experiment) -> None:
        """Take as many blocks as the noise asks for and the plan's minutes allow."""
        plan, trials = self._run.plan, self._run.trials
        if plan.minutes is None or plan.chosen or self._enough_blocks is None:
            return
        left_s = 60 * plan.minutes - (time.monotonic() - self._began)
        fitting = [
            blocks
            for blocks in range(LEAST_CHOSEN, MOST_CHOSEN + 1)
            if self._clock.corrected(schedule.seconds_left(experiment, blocks, trials)) <= left_s
        ]
        most = max(fitting, default=LEAST_CHOSEN)
        blocks = max(LEAST_CHOSEN, self._enough_blocks(experiment, trials, most))
        self._run.save_plan(replace(plan, blocks=blocks, chosen=True))
        self._progress.step(f"takes {blocks} blocks ({most} would fit into {plan.minutes:.0f} min)")

    def _is_late(self, block: int) -> bool:
        """Whether a run with a limit of time ends here: with enough blocks, and late by a
        quarter."""
        minutes = self._run.plan.minutes
        if minutes is None or block < LEAST_CHOSEN:
            return False
        return time.monotonic() - self._began > 1.25 * 60 * minutes

    def _may_stop(self, experiment: Experiment, block: int) -> bool:
        """Whether a run that stops when it knows has ended with *block*."""
        if self._knows is None or block < FIRST_LOOK:
            return False
        # Those of later blocks are there if the run was interrupted: they were needed.
        return self._knows(experiment, self._run.trials)

    def _with_doses(self) -> Experiment:
        """Replace relative canaries by absolute ones. The cost is measured once per run."""
        experiment = self._experiment
        if not experiment.is_relative:
            return experiment
        cost_us = self._run.plan.cost_us
        if cost_us is None:
            baseline, load = experiment.arm(experiment.baseline), experiment.load
            self._phase, self._subject = "cost", baseline.name
            under = load(experiment.primary_load)
            try:
                cost_us = self._bench.cost(baseline, under, self._show_status)
            except TrialFailed as error:
                raise RunFailed(f"the baseline's cost cannot be measured: {error}") from error
            self._run.save_plan(replace(self._run.plan, cost_us=cost_us))
            self._progress.step(f"a request of {baseline.name} takes {cost_us:,.0f} µs of CPU time")
        return experiment.with_cost(cost_us)

    def _with_rates(self, experiment: Experiment) -> Experiment:
        """Replace shares of the capacity by requests/s. The capacity is measured once per run."""
        shares = [load for load in experiment.loads if share(load.rate) is not None]
        if not shares:
            return experiment
        capacity = self._run.plan.capacity_rps
        if capacity is None:
            self._phase, self._subject = "capacity", experiment.baseline
            baseline = experiment.arm(experiment.baseline)
            try:
                capacity = self._bench.capacity(baseline, shares[0], self._show_status)
            except TrialFailed as error:
                raise RunFailed(f"the baseline's capacity cannot be measured: {error}") from error
            self._run.save_plan(replace(self._run.plan, capacity_rps=capacity))
            self._progress.step(f"{experiment.baseline} serves at most {capacity:,.0f} requests/s")
        loads = tuple(
            load if (part := share(load.rate)) is None else replace(load, rate=part * capacity)
            for load in experiment.loads
        )
        return replace(experiment, loads=loads)

    def _pass(self, experiment: Experiment, block: int) -> bool:
        """Measure what remains in *block*. Return whether anything remained."""
        loads = schedule.rotations(experiment, block, self._run.trials)
        alone = schedule.solo_runs(experiment, block, self._run.trials)
        if loads:
            self._rotate(experiment, loads, block)
        for solo in alone:
            self._run_alone(experiment, solo, block)
        return bool(loads or alone)

    def _rotate(self, experiment: Experiment, loads: list[Load], block: int) -> None:
        left = loads.copy()
        seed = schedule.seed_for(experiment.seed, block, len(self._of(block)))
        self._begin(experiment, block, f"all {len(experiment.arms)} arms in rotation")
        began = time.monotonic()
        try:
            with closing(self._bench.rotate(experiment, loads, seed, self._show_status)) as made:
                for _, trials in zip(loads, made, strict=True):
                    self._record(block, trials)
                    del left[0]
        except TrialFailed as error:
            load = left[0]
            arms = [arm.name for arm in experiment.arms_under(load)]
            self._record(block, [_failed(arm, load.name, error) for arm in arms])
            self._stop_if_none_ran(load.name, [t for t in self._run.trials if t.load == load.name])
        if not left:
            expected = schedule.seconds_of_rotations(experiment, loads)
            self._clock.took(time.monotonic() - began, expected)

    def _run_alone(self, experiment: Experiment, solo: schedule.SoloRun, block: int) -> None:
        left = list(solo.loads)
        seeds = {load.name: schedule.seed_for(experiment.seed, block, load.name) for load in left}
        name = solo.arm.name
        self._begin(experiment, block, name)
        began = time.monotonic()
        try:
            with closing(self._bench.run_alone(solo, seeds, self._show_status)) as made:
                for _, trial in zip(solo.loads, made, strict=True):
                    self._record(block, [trial])
                    del left[0]
        except TrialFailed as error:
            self._record(block, [_failed(name, load.name, error) for load in left])
            alone = {load.name for load in experiment.loads if load.alone}
            tried = [t for t in self._run.trials if t.arm == name and t.load in alone]
            self._stop_if_none_ran(name, tried)
        if not left:
            expected = schedule.seconds_of_solo_run(solo)
            self._clock.took(time.monotonic() - began, expected)

    def _record(self, block: int, trials: Iterable[Trial]) -> None:
        """Number, judge and store the trials at once.

        The arms of one rotation share its attempt number, even if an earlier one is incomplete.
        """
        made = list(trials)
        arms = {trial.arm for trial in made}
        before = [trial for trial in self._of(block) if trial.arm in arms]
        for trial in made:
            trial.block = block
            trial.attempt = 1 + max((t.attempt for t in before if t.load == trial.load), default=0)
            if not trial.voids:
                trial.voids = list(self._gates.judge(trial, primary=self._primary))
            self._report(trial, trial.voids)
        self._run.append(made)

    def _compare_within(self, block: int) -> bool:
        """Void the outliers among the block's trials. Return whether there was a new one."""
        found = False
        for load in self._experiment.loads:
            trials = [trial for trial in self._of(block) if trial.load == load.name]
            for trial, voids in zip(trials, self._gates.relative(trials), strict=True):
                known = {void.rule for void in trial.voids}
                new = [void for void in voids if void.rule not in known]
                trial.voids += new
                self._report(trial, new)
                found = found or bool(new)
        if found:
            self._run.rewrite()
        return found

    def _stop_if_none_ran(self, what: str, tried: Sequence[Trial]) -> None:
        """Raises RunFailed if all attempts failed: later blocks would fail as well."""
        causes = [void.reason for t in tried for void in t.voids if void.rule == DID_NOT_RUN]
        if len(causes) == len(tried) and max(t.attempt for t in tried) >= schedule.ATTEMPTS:
            raise RunFailed(f"{what}: all {schedule.ATTEMPTS} attempts failed: {causes[-1]}")

    def _begin(self, experiment: Experiment, block: int, subject: str) -> None:
        self._clock.expect(
            schedule.seconds_left(experiment, self._run.plan.blocks, self._run.trials)
        )
        self._phase, self._subject = f"block {block}/{self._run.plan.blocks}", subject
        self._show_status("starting")

    def _show_status(self, text: str) -> None:
        parts = [self._phase]
        if (left := self._clock.seconds_left()) is not None:
            parts.append(f"{duration(left)} left")
        voided = sum(not trial.good_for(self._primary.name) for trial in self._run.trials)
        if voided:
            parts.append(f"{voided} void")
        line = " · ".join([*parts, self._subject, text])
        if sys.stdout.isatty():
            # A wrapped line would not be overwritten by the next one.
            line = line[: max(20, shutil.get_terminal_size().columns - 6)]
        self._progress.detail(line)

    def _report(self, trial: Trial, voids: Sequence[Void]) -> None:
        """Print the voids for which the trial is repeated."""
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


class _RemainingTime:
    """What schedule.py expects, corrected by how long work has taken so far."""

    PRIOR_S = 20.0  # the weight of the uncorrected expectation

    def __init__(self) -> None:
        self._took = self._expected = self.PRIOR_S
        self._left: float | None = None
        self._at = 0.0

    def took(self, seconds: float, expected: float) -> None:
        self._took += seconds
        self._expected += expected

    def corrected(self, seconds: float) -> float:
        return seconds * self._took / self._expected

    def expect(self, seconds: float) -> None:
        self._left = self.corrected(seconds)
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
    """The plan of a run, printed before it starts."""
    metric = METRICS[experiment.primary_metric]
    names = [arm.name for arm in experiment.arms if arm.role == "arm"]
    controls = [arm.name for arm in experiment.arms if arm.role != "arm"]
    plan = run.plan
    lines = [
        f"{experiment.name}: {experiment.question}",
        f"  primary   {metric.name} ({metric.meaning}) under {experiment.primary_load!r}",
        f"  arms      {', '.join(names)}",
        f"  controls  {', '.join(controls)}; equivalent: within ±{experiment.margin:.0%}",
    ]
    for number, load in enumerate(experiment.loads):
        lines.append(f"  {'loads' if not number else '':<10}{load.name}: {_describe_load(load)}")
    blocks = f"{plan.blocks} block{'s' * (plan.blocks != 1)}{', quick,' * plan.quick}"
    if plan.minutes and not plan.chosen:
        blocks = f"{LEAST_CHOSEN} to {MOST_CHOSEN} blocks, as many as {plan.minutes:.0f} min allow,"
    if plan.auto:
        end = datetime.now().astimezone() + timedelta(seconds=left_s)
        blocks = (
            f"looks after each block from the {FIRST_LOOK}th, gives up after {blocks} "
            f"(about {end:%H:%M}),"
        )
    lines += [
        f"  plan      {blocks} on the {plan.runtime} runtime, seed {plan.seed}",
        f"  time      about {duration(left_s)}",
        f"  folder    {run.folder}",
    ]
    return "\n".join(lines)


def _describe_load(load: Load) -> str:
    users = f"{load.users} user{'s' * (load.users != 1)}"
    if load.kind == "rotation":
        return f"{load.rounds} rounds of {load.slice} requests per arm, {users}, {load.path}"
    if load.kind == "closed":
        bound = f"{load.requests:,} requests" if load.requests else f"{load.seconds:g} s"
        return f"{bound}, {users} without pauses, {load.path}"
    rate = (
        f"{load.rate:g} requests/s" if isinstance(load.rate, float) else f"{load.rate} of capacity"
    )
    if load.kind == "open":
        return f"{load.seconds:g} s, {rate} on schedule, {load.path}"
    return f"{load.how} reload under {rate}, {load.path}"


def duration(seconds: float) -> str:
    """``45 s``, ``2 min``, ``1 h 40 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
