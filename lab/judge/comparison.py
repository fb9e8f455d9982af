"""Pairs the trials of an arm and its baseline, block by block, into comparisons.

A comparison is one row of verdict.json: one arm against its baseline, in one metric, under one
load. This module fills in the figures and their log ratios; verdict.py judges them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean, geometric_mean
from typing import Any, Literal

from lab.judge import estimate, numbers, overload
from lab.judge.estimate import MIN_BLOCKS, Ratio
from lab.plan import canary
from lab.plan.experiment import FIGURES, Experiment
from lab.trial import METRICS, Metric, Trial

Blocks = Mapping[int, Sequence[Trial]]  # block → the attempts of one arm under one load
Verdict = Literal["faster", "slower", "equivalent", "inconclusive", "overloaded", "void"]
_INVERSE: Mapping[Verdict, Verdict] = {"faster": "slower", "slower": "faster"}

# Events that are counted and divided by the requests. If an arm had none, half an event is added to
# both arms, as is usual for ratios of counts (Haldane 1956).
EVENTS = frozenset({"wakeups", "preemptions", "eagain", "redis_commands"})


@dataclass
class Comparison:
    """A row of verdict.json. Ratios are arm ÷ baseline; None where there is no estimate."""

    arm: str
    baseline: str
    role: str  # arm, twin or canary
    load: str
    metric: str
    unit: str
    primary: bool
    values: dict[str, list[float]]  # "arm" and "baseline": one figure per block
    log_ratios: list[float] = field(default_factory=list)  # one per block; empty without a ratio
    verdict: Verdict = "void"
    why: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    blocks_needed: int | None = None
    detectable: float | None = None
    # Of a canary: what its dose adds, in the unit, and arm - baseline in each block.
    dose: float | None = None
    added: list[float] = field(default_factory=list)
    # Whether twin and canaries came out as they must in this metric under this load, and why.
    controlled: bool = False
    controls: str = ""
    # "arm" and "baseline": why a block was overloaded, an entry for each such block.
    overloaded: dict[str, list[str]] = field(default_factory=lambda: {"arm": [], "baseline": []})

    @property
    def n(self) -> int:
        """The number of blocks."""
        return len(self.log_ratios)

    @property
    def means(self) -> dict[str, float | None]:
        """The geometric mean over blocks, of "arm" and "baseline".

        The ratio is the geometric mean of the ratios of the blocks, so a reader who divides these
        two finds it, but for the rounds of a rotation. A figure that is 0 in a block has the
        arithmetic mean.
        """
        return {name: _mean(values) for name, values in self.values.items()}

    @property
    def estimate(self) -> Ratio | None:
        if self.ratio is None or self.low is None or self.high is None:
            return None
        return Ratio(self.ratio, self.low, self.high, self.n)

    @property
    def differs(self) -> bool:
        """Whether a difference was found, corrected for the family of the comparison."""
        found = self.estimate
        if found is None or self.p is None or self.p_holm is None:
            return False
        return estimate.differs(found, self.p, self.p_holm)

    def inverse(self) -> Comparison:
        """The same comparison with arm and baseline exchanged."""
        turned = Comparison(
            self.baseline, self.arm, self.role, self.load, self.metric, self.unit, self.primary,
            values={"arm": self.values["baseline"], "baseline": self.values["arm"]},
            log_ratios=[-log for log in self.log_ratios],
            verdict=_INVERSE.get(self.verdict, self.verdict), why=self.why,
            p=self.p, p_holm=self.p_holm,
            blocks_needed=self.blocks_needed, detectable=self.detectable,
            controlled=self.controlled, controls=self.controls,
            overloaded={
                "arm": self.overloaded["baseline"], "baseline": self.overloaded["arm"],
            },
        )  # fmt: skip
        if self.ratio and self.low and self.high:
            turned.ratio, turned.low, turned.high = 1 / self.ratio, 1 / self.high, 1 / self.low
        return turned

    def __str__(self) -> str:
        found = self.estimate
        return "no ratio" if found is None else self.with_interval(found)

    @staticmethod
    def with_interval(found: Ratio) -> str:
        interval = numbers.interval(found.low, found.high)
        return f"ratio {numbers.ratio(found.ratio)} {interval}, {found.n} blocks"

    def to_json(self) -> dict[str, Any]:
        """The row, with n and the means for readers of the file."""
        return {**asdict(self), "n": self.n, "means": self.means}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Comparison:
        """Raises KeyError if *row* is not complete."""
        return cls(**{one.name: row[one.name] for one in fields(cls)})


def compare(experiment: Experiment, trials: Iterable[Trial]) -> list[Comparison]:
    """Every metric under every load that an arm and its baseline share; primary ones first."""
    index: dict[tuple[str, str], dict[int, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in sorted(trials, key=lambda trial: trial.attempt):
        index[trial.arm, trial.load][trial.block].append(trial)
    comparisons = []
    for load in experiment.loads:
        for arm in experiment.arms_under(load):
            ours, theirs = index[arm.name, load.name], index[arm.against, load.name]
            for metric in METRICS.values():
                primary = (metric.name, load.name) == (
                    experiment.primary_metric,
                    experiment.primary_load,
                )
                measured = (
                    metric.name in FIGURES[load.kind]
                    and _has(ours, metric)
                    and _has(theirs, metric)
                )
                if arm.against and metric.kind != "tally" and (measured or primary):
                    one = Comparison(
                        arm.name, arm.against, arm.role, load.name, metric.name, metric.unit,
                        primary, values={"arm": [], "baseline": []},
                    )  # fmt: skip
                    if arm.dose:
                        one.dose = canary.adds(arm.dose, metric.name)
                    _fill(one, ours, theirs, rotation=load.kind == "rotation")
                    comparisons.append(one)
    return sorted(comparisons, key=lambda one: not one.primary)


def find(
    rows: Iterable[Mapping[str, Any]], load: str, metric: str, arm: str, against: str | None
) -> Comparison | None:
    """The one of verdict.json's *rows* that compares *arm* with *against* (None: with any arm).

    It is inverted if the run compared them the other way round.
    """
    for row in rows:
        if (row["load"], row["metric"]) != (load, metric):
            continue
        if row["arm"] == arm and against in (None, row["baseline"]):
            return Comparison.from_json(row)
        if row["baseline"] == arm and against in (None, row["arm"]):
            return Comparison.from_json(row).inverse()
    return None


def figure(trial: Trial, metric: str) -> float | None:
    """The trial's figure, or the mean of its rounds."""
    if metric in trial.figures:
        return trial.figures[metric]
    rounds = trial.rounds.get(metric)
    return fmean(rounds) if rounds else None


def _mean(values: Sequence[float]) -> float | None:
    if not values:
        return None
    return geometric_mean(values) if min(values) > 0 else fmean(values)


def _has(blocks: Blocks, metric: Metric) -> bool:
    return any(
        figure(trial, metric.name) is not None for tries in blocks.values() for trial in tries
    )


def _fill(one: Comparison, ours: Blocks, theirs: Blocks, *, rotation: bool) -> None:
    """Add the blocks in which both arms have a good trial."""
    for block in sorted(ours.keys() & theirs.keys()):
        pair = _pair(ours[block], theirs[block], one.metric, rotation=rotation)
        if pair is None:
            continue
        figures = [figure(trial, one.metric) or 0.0 for trial in pair]
        one.values["arm"].append(figures[0])
        one.values["baseline"].append(figures[1])
        if one.dose is not None:
            one.added.append(_difference(*pair, one.metric))
        for side, trial in zip(one.overloaded, pair, strict=True):
            if found := overload.reasons(trial.evidence):
                one.overloaded[side].append("; ".join(found.values()))
        log = _log_ratio(*pair, one.metric)
        if log is not None:
            one.log_ratios.append(log)
        elif not one.why:
            text = " against ".join(map(numbers.number, figures))
            one.why = f"{text} (block {block}) has no ratio"
    if one.why:  # dropping only such blocks would select the others by their outcome
        one.log_ratios.clear()
    elif one.n < MIN_BLOCKS:
        rules = Counter(
            void.rule
            for blocks in (ours, theirs)
            for tries in blocks.values()
            for trial in tries
            if not trial.good_for(one.metric)
            for void in trial.voids
        )
        one.why = f"{one.n} of the {MIN_BLOCKS} good blocks that are needed"
        if rules:
            counts = ", ".join(f"{rule} ({count})" for rule, count in rules.most_common(2))
            one.why += f"; void trials: {counts}"


def _pair(
    ours: Sequence[Trial], theirs: Sequence[Trial], metric: str, *, rotation: bool
) -> tuple[Trial, Trial] | None:
    """The last good attempts of a block.

    Of a rotation both are of the same attempt, because its rounds are compared with each other.
    """
    left, right = (
        {
            trial.attempt: trial
            for trial in tries
            if trial.good_for(metric) and figure(trial, metric) is not None
        }
        for tries in (ours, theirs)
    )
    if rotation:
        common = left.keys() & right.keys()
        return (left[max(common)], right[max(common)]) if common else None
    return (left[max(left)], right[max(right)]) if left and right else None


def _difference(arm: Trial, baseline: Trial, metric: str) -> float:
    """Arm - baseline, of matching rounds where there are rounds."""
    a, b = arm.rounds.get(metric, []), baseline.rounds.get(metric, [])
    if a and len(a) == len(b):
        return estimate.of_differences(a, b)
    return (figure(arm, metric) or 0.0) - (figure(baseline, metric) or 0.0)


def _log_ratio(arm: Trial, baseline: Trial, metric: str) -> float | None:
    """Of matching rounds where there are rounds, else of the two figures. None: one is zero."""
    a, b = arm.rounds.get(metric, []), baseline.rounds.get(metric, [])
    if a and len(a) == len(b) and min(*a, *b) > 0:
        return estimate.of_block(a, b)
    x, y = figure(arm, metric) or 0.0, figure(baseline, metric) or 0.0
    if min(x, y) <= 0 and metric in EVENTS and arm.requests and baseline.requests:
        x, y = x + 0.5 / arm.requests, y + 0.5 / baseline.requests
    if x == y:
        return 0.0
    return math.log(x / y) if min(x, y) > 0 else None
