"""Judges budgets by the figures of a run: the rows of bench.json.

A budget is met if the whole 95 % interval keeps it; a figure that keeps it by chance does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lab.judge.comparison import Comparison, find
from lab.judge.estimate import Ratio, over_blocks
from lab.plan.experiment import Budget, Experiment
from lab.trial import METRICS


def rows(experiment: Experiment, verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each budget of *experiment*, in the order of the file.

    verdict: the content of verdict.json. A row holds name, budget (the limit), unit ("" for a
    ratio), ratio, low, high, n (blocks), controlled, met, and why it cannot be decided, or "".
    ratio is the figure, a ratio or a value in the unit; it and its interval are None if there is
    none.
    """
    found = []
    for budget in experiment.budgets:
        metric = METRICS[budget.metric]
        compared = _compared(budget, verdict["comparisons"])
        figure, why = _figure(budget, compared)
        row: dict[str, Any] = {"name": budget.name, "budget": budget.limit}
        row["unit"] = "" if budget.against and not budget.per else metric.unit
        row |= {key: figure and getattr(figure, key) for key in ("ratio", "low", "high")}
        row["n"] = figure.n if figure else 0
        row["controlled"] = compared is not None and compared.controlled
        if figure is None or why:
            row["met"] = False
        elif metric.better == "lower":
            row["met"] = figure.high <= budget.limit
        else:
            row["met"] = figure.low >= budget.limit
        found.append({**row, "why": why})
    return found


def _compared(budget: Budget, comparisons: Sequence[Mapping[str, Any]]) -> Comparison | None:
    return find(comparisons, budget.load, budget.metric, budget.arm, budget.against)


def _figure(budget: Budget, found: Comparison | None) -> tuple[Ratio | None, str]:
    """The figure with its interval, and why it decides nothing."""
    if found is None:
        return None, "there are no trials of it"
    why = found.why if found.verdict in ("void", "overloaded") else ""
    if budget.against and not budget.per:
        return found.estimate, why
    values = found.values["arm"]
    if budget.per:
        pairs = zip(values, found.values["baseline"], strict=True)
        values = [(arm - baseline) / budget.per for arm, baseline in pairs]
    if len(values) < 2 or min(values) <= 0:
        return None, why or "it takes two blocks, and values above 0"
    return over_blocks([math.log(value) for value in values]), why
