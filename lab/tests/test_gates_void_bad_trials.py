"""Every gate voids a trial with its fault, says why, and spoils no more than it must. A good trial
passes all of them."""

from dataclasses import replace
from typing import Any

import pytest

from lab.judge import gates
from lab.trial import METRICS, Evidence, Trial

COUNT, TIME = METRICS["cpu_us"], METRICS["p99_ms"]

# Good trials, with values just inside the limits.
OPEN = Evidence(
    errors=1,
    wrong=0,
    intended=2000,
    sent=1998,
    done=1998,
    dropped=2,
    served=2001,
    seconds=10.0,
    slots=4,
    holds_s=0.01,
    lag_p50_ms=0.39,
    lag_p99_ms=3.9,
    response_p50_ms=4.0,
    generator_cpu=0.7,
    stolen=0.1,
    wrong_options=[],
)
CLOSED = Evidence(
    errors=0,
    wrong=0,
    done=3000,
    served=3032,
    seconds=3.0,
    users=32,
    mean_response_s=0.0305,
    slots=8,
    reported_rps=1040.0,
    generator_cpu=0.79,
    stolen=0.0,
)
ROTATION = Evidence(errors=0, wrong=0, done=1800, served=1800, idle_share=0.015, stolen=0.05)

# rule, good trial, change, what it spoils
BAD: list[tuple[str, Evidence, dict[str, Any], str]] = [
    ("errors", OPEN, {"errors": 3}, "everything"),
    ("errors", Evidence(), {"errors": 3, "done": 0}, "everything"),
    ("wrong bodies", OPEN, {"wrong": 1}, "everything"),
    ("served is not done", OPEN, {"served": 1010}, "everything"),
    ("served is not done", CLOSED, {"served": 2900}, "everything"),
    ("Little's law", CLOSED, {"mean_response_s": 0.029}, "time"),
    ("Little's law", CLOSED, {"mean_response_s": 0.04}, "time"),
    ("Little's law", CLOSED, {"mean_response_s": 0.02}, "everything"),
    ("utilization bound", OPEN, {"holds_s": 0.0209}, "everything"),
    ("reported rate", CLOSED, {"reported_rps": 1060.0}, "everything"),
    ("dropped arrivals", OPEN, {"dropped": 3}, "time"),
    ("dropped arrivals", OPEN, {"dropped": 101}, "everything"),
    ("send lag", OPEN, {"lag_p50_ms": 0.41}, "time"),
    ("send lag", OPEN, {"lag_p99_ms": 4.1}, "time"),
    ("send lag", replace(OPEN, response_p50_ms=2.0, lag_p50_ms=0.1), {}, "time"),
    ("generator CPU", OPEN, {"generator_cpu": 0.73}, "time"),
    ("generator CPU", CLOSED, {"generator_cpu": 0.81}, "time"),
    ("stolen CPU", OPEN, {"stolen": 0.101}, "time"),
    ("ended processes", ROTATION, {"ended": 1}, "everything"),
    ("idle arm", ROTATION, {"idle_share": 0.025}, "everything"),
    (
        "wrong options",
        ROTATION,
        {"wrong_options": ["STACK_THUNDER_LOCK: asked on, server says off"]},
        "everything",
    ),
]


def trial(evidence: Evidence) -> Trial:
    return Trial(1, "any", "load", 1, "2026-11-21T00:00:00Z", 10.0, 1000, evidence=evidence)


@pytest.mark.parametrize("evidence", [OPEN, CLOSED, ROTATION, Evidence()])
def test_a_good_trial_passes(evidence: Evidence) -> None:
    assert gates.judge(trial(evidence), primary=TIME) == []


@pytest.mark.parametrize(("rule", "good", "change", "spoils"), BAD)
def test_a_bad_trial_is_void_by_its_rule(
    rule: str, good: Evidence, change: dict[str, Any], spoils: str
) -> None:
    bad = trial(replace(good, **change))
    bad.voids = gates.judge(bad, primary=COUNT)
    assert [(void.rule, void.spoils) for void in bad.voids] == [(rule, spoils)]
    assert bad.voids[0].reason
    assert not bad.good_for(TIME.name)
    assert bad.good_for(COUNT.name) == (spoils == "time")


def test_every_gate_has_a_bad_trial() -> None:
    names = {rule.__name__ for rule in gates.RULES}
    tried = {
        rule.__name__
        for _, good, change, _ in BAD
        for rule in gates.RULES
        if rule(replace(good, **change)) is not None
    }
    assert tried == names


def test_a_reason_names_what_was_found() -> None:
    (void,) = gates.judge(trial(replace(OPEN, errors=20)), primary=COUNT)
    assert void.reason == "20 requests failed (1.0%, at most 0.1%)"
    told = replace(OPEN, errors=20, faults=["19 x 502 Bad Gateway", "1 x connection refused"])
    (void,) = gates.judge(trial(told), primary=COUNT)
    assert void.reason.endswith("): 19 x 502 Bad Gateway; 1 x connection refused")
    (void,) = gates.judge(trial(replace(CLOSED, served=4000)), primary=COUNT)
    assert "nginx counted 4000 requests, the generator 3000" in void.reason


def test_a_stolen_core_lowers_what_the_generator_may_use() -> None:
    """A generator gets at most 0.6 of a core where the host steals 0.4."""
    saturated = trial(replace(OPEN, generator_cpu=0.6, stolen=0.4))
    assert {void.rule for void in gates.judge(saturated, primary=TIME)} == {
        "generator CPU",
        "stolen CPU",
    }


def test_what_spoils_the_primary_metric_comes_first() -> None:
    bad = trial(replace(OPEN, stolen=0.11, dropped=3, served=2900))
    assert [gates.spoils(void, COUNT) for void in gates.judge(bad, primary=COUNT)] == [
        True,
        False,
        False,
    ]
    assert all(gates.spoils(void, TIME) for void in gates.judge(bad, primary=TIME))


def test_an_outlier_in_stolen_time_is_void_for_times() -> None:
    def voided(*stolen: float | None) -> list[list[str]]:
        block = [trial(Evidence(stolen=share)) for share in stolen]
        found = gates.relative(block)
        assert all(void.spoils == "time" for voids in found for void in voids)
        return [[void.rule for void in voids] for voids in found]

    outlier = ["stolen unlike its block"]
    assert voided(0.02, 0.09, 0.03, 0.025) == [[], outlier, [], []]
    assert voided(0.001, 0.029, 0.002) == [[], [], []], "below the least share that matters"
    assert voided(0.05, 0.06, 0.09) == [[], [], []], "similar shares"
    assert voided(0.01, 0.09) == [[], []], "of two, neither is the outlier"
    assert voided(None, 0.03, None, 0.03, 0.08) == [[], [], [], [], outlier]
