"""What a report is made of: plan, trials and verdict of a run, read from its folder.

A report computes nothing that a verdict depends on. Ratios, intervals and verdicts are those of
verdict.json.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lab.judge.comparison import Comparison, figure
from lab.runs import VERDICT, Plan, ResultsError, Run
from lab.trial import Trial

# Compared under every load in the published pages, besides the primary metric.
HEADLINES = ("cpu_us", "rps", "p99_ms", "pss_mb", "start_s", "stall_ms")


class ReportError(Exception):
    """A folder that cannot be reported on. The text names the file and the fault."""


@dataclass(frozen=True)
class RunData:
    """A judged run."""

    folder: Path
    plan: Plan
    verdict: Mapping[str, Any]
    trials: Sequence[Trial]
    comparisons: Sequence[Comparison]
    why: Mapping[str, Any] = field(default_factory=dict)  # arm → what WHY=1 found

    @classmethod
    def read(cls, folder: Path) -> RunData:
        """Raises ReportError if a file is missing or damaged."""
        try:
            run = Run.open(folder)
            verdict = json.loads((folder / VERDICT).read_text(encoding="utf-8"))
            comparisons = [Comparison.from_json(row) for row in verdict["comparisons"]]
        except FileNotFoundError as error:
            raise ReportError(f"{error.filename} is missing: the run is not judged yet") from None
        except ResultsError as error:
            raise ReportError(str(error)) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{folder / VERDICT} is damaged: {error!r}") from None
        return cls(folder, run.plan, verdict, run.trials, comparisons, run.why())

    @property
    def experiment(self) -> str:
        return str(self.verdict["experiment"])

    @property
    def trustworthy(self) -> bool:
        return self.verdict["trustworthy"] is True

    @property
    def primary(self) -> list[Comparison]:
        return [one for one in self.comparisons if one.primary]

    @property
    def baseline(self) -> str:
        """The experiment's baseline, which its controls are compared with."""
        return next((one.baseline for one in self.primary if one.role != "arm"), "the baseline")

    @property
    def loads(self) -> list[str]:
        """The loads with trials, in the order of the plan."""
        measured = {trial.load for trial in self.trials}
        return [load["name"] for load in self.plan.loads if load["name"] in measured]

    def ordered(self, names: Iterable[str]) -> list[str]:
        """The arms among *names*, in the order of the plan."""
        wanted = set(names)
        return [arm["name"] for arm in self.plan.arms if arm["name"] in wanted]

    def good(self, load: str, metric: str) -> dict[str, list[float]]:
        """arm → *metric* of each good trial under *load*."""
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
