"""A run as the report sees it: plan, trials and verdict, read from the folder that holds them.

Nothing is computed here that a verdict depends on. Ratios, intervals and words come from
verdict.json as they are; trials give what pictures need beside them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from lab.judge import estimate
from lab.trial import METRICS, Metric, Trial

# What people look at first, besides the primary metric: drawn and published under every load.
HEADLINES = ("cpu_us", "rps", "p99_ms", "pss_mb", "start_s", "stall_ms")

# Verdicts that leave the question open: drawn hollow or hatched.
OPEN = ("inconclusive", "void")


class ReportError(Exception):
    """A folder that cannot be reported on. Its text names the file and what is wrong with it."""


@dataclass(frozen=True)
class Comparison:
    """A line of verdict.json's comparisons. The ratio is arm ÷ baseline.

    None where nothing could be said. `values` are per-block figures of both, in pairs.
    """

    arm: str
    baseline: str
    load: str
    metric: str
    unit: str
    role: str  # arm, twin, canary
    primary: bool
    verdict: str
    n: int
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    blocks_needed: int | None
    why: str
    values: tuple[tuple[float, float], ...]  # (baseline, arm), a pair a block
    medians: tuple[float | None, float | None]  # (baseline, arm)

    @property
    def drawn(self) -> tuple[float, float, float] | None:
        """Ratio, low and high, where there are all three and a logarithmic axis can show them."""
        if self.ratio is None or self.low is None or self.high is None:
            return None
        return (self.ratio, self.low, self.high) if min(self.ratio, self.low) > 0 else None

    @property
    def kind(self) -> Metric | None:
        return METRICS.get(self.metric)


@dataclass
class Run:
    """Everything that the pictures and pages are made of."""

    plan: Mapping[str, Any]
    verdict: Mapping[str, Any]
    trials: Sequence[Trial]
    folder: str = ""  # the folder's own name: the time at which the run began
    comparisons: tuple[Comparison, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.comparisons = tuple(
            _comparison(row) for row in _rows(self.verdict.get("comparisons"), "comparisons")
        )

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises ReportError for a file that is missing or damaged."""
        return cls(
            plan=_json(folder / "plan.json"),
            verdict=_json(folder / "verdict.json"),
            trials=_trials(folder / "trials.jsonl"),
            folder=folder.resolve().name,
        )

    @property
    def experiment(self) -> str:
        return str(self.verdict.get("experiment") or self.plan.get("experiment") or "experiment")

    @property
    def question(self) -> str:
        return str(self.verdict.get("question") or "")

    @property
    def trustworthy(self) -> bool:
        return self.verdict.get("trustworthy") is True

    @property
    def answer(self) -> str:
        return str(self.verdict.get("answer") or "no answer: verdict.json has none")

    @property
    def why(self) -> list[str]:
        """Reasons that the verdict adds to its answer."""
        found = self.verdict.get("why") or []
        reasons = [found] if isinstance(found, str) else list(found)
        return [str(reason) for reason in reasons if str(reason) not in self.answer]

    @property
    def expectations(self) -> Mapping[str, Mapping[str, Any]]:
        """arm → what was declared beforehand, what was found, whether that met it."""
        found: Mapping[str, Mapping[str, Any]] = self.verdict.get("expectations") or {}
        return found

    @property
    def primary(self) -> tuple[Comparison, ...]:
        return tuple(one for one in self.comparisons if one.primary)

    @property
    def baseline(self) -> str:
        """What the twin repeats; without a twin, what most primary comparisons are made with."""
        of_controls = [one.baseline for one in self.comparisons if one.role != "arm"]
        names = of_controls or [one.baseline for one in self.primary or self.comparisons]
        return max(names, key=names.count, default="")

    @property
    def margin(self) -> float:
        """Half of the equivalence band: 0.05 is ±5 %."""
        return _number(self.verdict.get("margin")) or 0.05

    @property
    def band(self) -> tuple[float, float]:
        """The ratios that count as equal."""
        return estimate.band(self.margin)

    @property
    def arms(self) -> list[Mapping[str, Any]]:
        """The plan's arms, twin and canary included, in the file's order."""
        return _rows(self.plan.get("arms"), "arms")

    @property
    def loads(self) -> list[str]:
        """Names of the loads in the file's order, without those that nothing was measured under."""
        measured = dict.fromkeys(trial.load for trial in self.trials)
        planned = [str(load.get("name")) for load in _rows(self.plan.get("loads"), "loads")]
        return [load for load in planned if load in measured] + [
            load for load in measured if load not in planned
        ]

    def settings(self, arm: str) -> dict[str, str]:
        """The STACK_* values that the arm was asked for."""
        for one in self.arms:
            if one.get("name") == arm:
                return {str(key): str(value) for key, value in (one.get("settings") or {}).items()}
        return {}

    def good(self, load: str, metric: str) -> dict[str, list[float]]:
        """arm → the metric of each of its trials under *load* that may be used, arms in order."""
        found: dict[str, list[float]] = defaultdict(list)
        for trial in self.trials:
            if trial.load == load and trial.good_for(metric):
                value = figure(trial, metric)
                if value is not None:
                    found[trial.arm].append(value)
        return {arm: found[arm] for arm in self.ordered(found)}

    def medians(self, load: str, metric: str) -> dict[str, float]:
        """arm → median over its good trials."""
        return {arm: median(values) for arm, values in self.good(load, metric).items()}

    def ordered(self, names: Mapping[str, object] | set[str]) -> list[str]:
        """The arms among *names*, in the plan's order; strangers last."""
        planned = [str(arm.get("name")) for arm in self.arms]
        known = [name for name in planned if name in names]
        return known + sorted(name for name in names if name not in planned)

    def panels(self) -> Iterator[tuple[str, str, list[Comparison]]]:
        """(metric, load, comparisons) for each pair that was compared: primary first."""
        found: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
        for one in sorted(self.comparisons, key=lambda one: not one.primary):
            found[one.metric, one.load].append(one)
        for (metric, load), rows in found.items():
            yield metric, load, rows


def figure(trial: Trial, metric: str) -> float | None:
    """The trial's figure; of one that was taken in rounds, their mean. None: it has none."""
    if metric in trial.figures:
        return trial.figures[metric]
    rounds = trial.rounds.get(metric)
    return fmean(rounds) if rounds else None


def _comparison(row: Mapping[str, Any]) -> Comparison:
    metric = str(row.get("metric", ""))
    known = METRICS.get(metric)
    values = row.get("values") or {}
    pairs = tuple(
        (float(baseline), float(arm))
        for baseline, arm in zip(values.get("baseline", ()), values.get("arm", ()), strict=False)
        if baseline is not None and arm is not None
    )
    medians = row.get("medians") or {}
    return Comparison(
        arm=str(row.get("arm", "")),
        baseline=str(row.get("baseline", "")),
        load=str(row.get("load", "")),
        metric=metric,
        unit=str(row.get("unit") or (known.unit if known else "")),
        role=str(row.get("role") or "arm"),
        primary=row.get("primary") is True,
        verdict=str(row.get("verdict", "")),
        n=int(row.get("n") or 0),
        ratio=_number(row.get("ratio")),
        low=_number(row.get("low")),
        high=_number(row.get("high")),
        p=_number(row.get("p")),
        p_holm=_number(row.get("p_holm")),
        blocks_needed=None if row.get("blocks_needed") is None else int(row["blocks_needed"]),
        why=str(row.get("why") or ""),
        values=pairs,
        medians=(
            _number(medians.get("baseline", median(one for one, _ in pairs) if pairs else None)),
            _number(medians.get("arm", median(two for _, two in pairs) if pairs else None)),
        ),
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == value else None  # noqa: PLR0124 - NaN is no number


def _rows(value: object, name: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise ReportError(f"{name}: a list of objects is expected, found {type(value).__name__}")
    return value


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path} is missing: the run has not got that far") from None
    except ValueError as error:
        raise ReportError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ReportError(f"{path}: an object is expected")
    return content


def _trials(path: Path) -> list[Trial]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ReportError(f"{path} is missing: no trial has been recorded") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(Trial.from_json(line))
        except (ValueError, KeyError, TypeError) as error:
            # A run that is killed in the middle of a line leaves that line as the last one.
            if number < len(lines):
                raise ReportError(f"{path}, line {number}, is no trial: {error}") from None
    return found
