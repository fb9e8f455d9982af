"""A budget is met if the whole interval keeps it: ratios, values, and differences per unit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lab.judge import budgets
from lab.judge.comparison import Comparison
from lab.judge.estimate import over_blocks
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Budget, Experiment, Load
from lab.trial import METRICS

ARMS = (ArmSpec("ours"), ArmSpec("other", against="ours"))


def experiment(**budget: Any) -> Experiment:
    return Experiment(
        name="e", question="q", primary_metric="cpu_us", primary_load="full", baseline="ours",
        canaries=("burn_40",), margin=0.05, loads=(Load("full", "closed"),), arms=ARMS,
        budgets=(Budget("b", load="full", **budget),),
    )  # fmt: skip


def verdict(metric: str, ours: list[float], other: list[float], **changes: Any) -> dict[str, Any]:
    """Of a run that compared "other" with "ours"."""
    logs = [math.log(a / b) for a, b in zip(other, ours, strict=True)]
    found = over_blocks(logs)
    one = Comparison(
        "other", "ours", "arm", "full", metric, METRICS[metric].unit, primary=True,
        values={"arm": other, "baseline": ours}, log_ratios=logs, verdict="slower",
        ratio=found.ratio, low=found.low, high=found.high,
    )  # fmt: skip
    return {"comparisons": [{**one.to_json(), **changes}]}


def row(found: dict[str, Any], **budget: Any) -> dict[str, Any]:
    (only,) = budgets.rows(experiment(**budget), found)
    return only


OURS = [50.0, 51.0, 49.0, 50.0, 50.5, 49.5]
OTHER = [100.0, 99.0, 101.0, 102.0, 98.0, 100.0]
RATIO = {"arm": "ours", "against": "other", "metric": "cpu_us"}


@pytest.mark.parametrize(("limit", "met"), [(0.55, True), (0.5, False), (0.45, False)])
def test_a_ratio_is_met_by_its_upper_end(limit: float, met: bool) -> None:
    found = row(verdict("cpu_us", OURS, OTHER), **RATIO, limit=limit)
    assert found["met"] is met
    assert found["ratio"] == pytest.approx(0.5, abs=0.01)
    assert found["low"] < found["ratio"] < found["high"]
    assert (found["name"], found["budget"], found["unit"], found["n"]) == ("b", limit, "", 6)


@pytest.mark.parametrize("controlled", [True, False])
def test_a_figure_without_its_controls_says_so(controlled: bool) -> None:
    compared = verdict("cpu_us", OURS, OTHER, controlled=controlled)
    assert row(compared, **RATIO, limit=1)["controlled"] is controlled
    assert row(compared, arm="other", metric="cpu_us", limit=1)["controlled"] is controlled


@pytest.mark.parametrize(("limit", "met"), [(1.8, True), (2.0, False)])
def test_where_more_is_better_the_lower_end_counts(limit: float, met: bool) -> None:
    budget = {"arm": "other", "against": "ours", "metric": "rps", "limit": limit}
    assert row(verdict("rps", OURS, OTHER), **budget)["met"] is met


def test_a_value_has_the_metrics_unit() -> None:
    found = row(verdict("pss_mb", OURS, OTHER), arm="ours", metric="pss_mb", limit=52)
    assert found["ratio"] == pytest.approx(50, abs=0.1)
    assert (found["unit"], found["met"]) == ("MB", True)


def test_a_difference_is_divided() -> None:
    budget = {"arm": "other", "against": "ours", "metric": "pss_mb", "per": 5, "limit": 11}
    found = row(verdict("pss_mb", OURS, OTHER), **budget)
    assert found["ratio"] == pytest.approx(10, abs=0.2)
    assert (found["unit"], found["met"]) == ("MB", True)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"comparisons": []}, "no trials"),
        (verdict("cpu_us", OURS, OTHER, verdict="void", why="3 good blocks"), "3 good blocks"),
    ],
)
def test_what_is_not_decided_is_not_met(found: dict[str, Any], why: str) -> None:
    only = row(found, **RATIO, limit=1)
    assert only["met"] is False
    assert why in only["why"]
