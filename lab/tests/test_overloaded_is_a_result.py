"""A server that does not keep up with its load is called overloaded. No trial of it is void."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab.judge import gates, overload, verdict
from lab.tests.invented_trials import BASE, experiment, figures, fine
from lab.trial import METRICS, Evidence, Trial

# Values just inside the limits.
OPEN = Evidence(
    errors=1,
    intended=2000,
    sent=1998,
    done=1998,
    dropped=2,
    seconds=10.0,
    slots=4,
    holds_s=0.01,
    lag_p50_ms=0.39,
    lag_p99_ms=3.9,
    response_p50_ms=4.0,
)
CLOSED = Evidence(errors=0, done=3000, seconds=3.0, users=32, mean_response_s=0.022)
TOO_MUCH: list[tuple[str, Evidence, dict[str, Any]]] = [
    ("errors", OPEN, {"errors": 3}),
    ("errors", Evidence(), {"errors": 3, "done": 0}),
    ("dropped arrivals", OPEN, {"dropped": 3}),
    ("late schedule", OPEN, {"lag_p99_ms": 4.1}),
    ("late schedule", OPEN, {"response_p50_ms": 2.0}),
    ("Little's law", CLOSED, {"mean_response_s": 0.021}),
    ("Little's law", CLOSED, {"mean_response_s": 0.05}),
    ("utilization bound", OPEN, {"holds_s": 0.0209}),
    ("reported rate", CLOSED, {"reported_rps": 1060.0}),
]


@pytest.mark.parametrize("evidence", [OPEN, CLOSED, Evidence()])
def test_a_server_that_keeps_up_is_not_overloaded(evidence: Evidence) -> None:
    assert overload.reasons(evidence) == {}


@pytest.mark.parametrize(("rule", "good", "change"), TOO_MUCH)
def test_each_sign_of_overload_has_its_rule_and_voids_nothing(
    rule: str, good: Evidence, change: dict[str, Any]
) -> None:
    trial = Trial(1, "any", "load", 1, "", 10.0, 1000, evidence=replace(good, **change))
    assert list(overload.reasons(trial.evidence)) == [rule]
    assert gates.judge(trial, primary=METRICS["p99_ms"]) == []


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _, _ in TOO_MUCH} == set(overload.RULES)


def judged(blocks: int) -> dict[str, Any]:
    """The comparison of an arm that is 30 % cheaper and drops arrivals in *blocks* of 10 blocks."""
    made = figures(fine(new=np.full(10, -0.3)))
    for trial in made:
        if trial.arm == "new" and trial.block <= blocks:
            trial.evidence = replace(OPEN, dropped=300, faults=[])
    found = verdict.of(experiment(), made, {})
    (row,) = [row for row in found["comparisons"] if row["arm"] == "new"]
    return {**row, "answer": found["answer"], "voided": found["voided"]}


def test_an_arm_that_is_overloaded_in_most_blocks_is_neither_faster_nor_slower() -> None:
    row = judged(6)
    assert (row["verdict"], row["n"], row["voided"]) == ("overloaded", 10, 0)
    assert row["ratio"] == pytest.approx(np.exp(-0.3)), "the figures stay visible"
    why = '"new" was overloaded in 6 of 10 blocks: 300 of 2000 arrivals were not sent (15.0%)'
    assert row["why"] == why
    assert f'"new" and "{BASE}"' in row["answer"]
    assert why in row["answer"]


def test_an_arm_that_is_overloaded_in_a_few_blocks_keeps_its_verdict_and_says_so() -> None:
    row = judged(2)
    assert row["verdict"] == "faster"
    assert row["why"].startswith('"new" was overloaded in 2 of 10 blocks')
