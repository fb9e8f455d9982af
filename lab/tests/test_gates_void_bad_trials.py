"""Every gate voids a trial with its fault, says why, and spoils no more than it must. A good trial
passes all of them."""

from dataclasses import replace
from typing import Any

import pytest

from lab.judge import gates
from lab.trial import METRICS, Evidence, Trial

COUNT, CPU, TIME = METRICS["wakeups"], METRICS["cpu_us"], METRICS["p99_ms"]

# Good trials, with values just inside the limits.
OPEN = Evidence(
    wrong=0,
    intended=2000,
    sent=1998,
    done=1998,
    served=2000,
    seconds=10.0,
    generator_cpu=0.7,
    stolen=0.1,
    wrong_options=[],
)
CLOSED = Evidence(
    wrong=0,
    done=3000,
    served=3032,
    seconds=3.0,
    users=32,
    generator_cpu=0.79,
    stolen=0.0,
)
ROTATION = Evidence(wrong=0, done=1800, served=1800, idle_share=0.015, stolen=0.05)

# rule, good trial, change, what it spoils
BAD: list[tuple[str, Evidence, dict[str, Any], str]] = [
    ("wrong bodies", OPEN, {"wrong": 1}, "everything"),
    ("served is not done", OPEN, {"served": 1010}, "everything"),
    ("served is not done", CLOSED, {"served": 2900}, "everything"),
    ("generator CPU", OPEN, {"generator_cpu": 0.73}, "time"),
    ("generator CPU", CLOSED, {"generator_cpu": 0.81}, "time"),
    ("stolen CPU", OPEN, {"stolen": 0.101}, "cpu"),
    ("stolen CPU", ROTATION, {"stolen": 0.101}, "cpu"),
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
    assert bad.good_for(CPU.name) == (spoils == "time")
    assert bad.good_for(COUNT.name) == (spoils != "everything")


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
    (void,) = gates.judge(trial(replace(CLOSED, served=4000)), primary=COUNT)
    assert "nginx counted 4000 requests, the generator 3000 answers" in void.reason


def test_a_stolen_core_lowers_what_the_generator_may_use() -> None:
    """A generator gets at most 0.6 of a core where the host steals 0.4."""
    saturated = trial(replace(OPEN, generator_cpu=0.6, stolen=0.4))
    assert {void.rule for void in gates.judge(saturated, primary=TIME)} == {
        "generator CPU",
        "stolen CPU",
    }


def test_a_request_without_an_answer_was_served_or_not() -> None:
    unanswered = replace(OPEN, sent=1998, done=1900)
    for served in (1900, 1950, 1998):
        assert gates.judge(trial(replace(unanswered, served=served)), primary=TIME) == []
    for served in (1890, 2010):
        assert gates.judge(trial(replace(unanswered, served=served)), primary=TIME) != []


def test_what_spoils_the_primary_metric_comes_first() -> None:
    bad = trial(replace(OPEN, stolen=0.11, generator_cpu=0.9, served=2900))
    assert [void.ruins(COUNT) for void in gates.judge(bad, primary=COUNT)] == [True, False, False]
    assert [void.ruins(CPU) for void in gates.judge(bad, primary=CPU)] == [True, True, False]
    assert all(void.ruins(TIME) for void in gates.judge(bad, primary=TIME))


def test_an_outlier_in_stolen_time_is_void_for_times_and_cpu_time() -> None:
    def voided(*stolen: float | None) -> list[list[str]]:
        block = [trial(Evidence(stolen=share)) for share in stolen]
        found = gates.relative(block)
        assert all(void.spoils == "cpu" for voids in found for void in voids)
        return [[void.rule for void in voids] for voids in found]

    outlier = ["stolen unlike its block"]
    assert voided(0.02, 0.09, 0.03, 0.025) == [[], outlier, [], []]
    assert voided(0.001, 0.029, 0.002) == [[], [], []], "below the least share that matters"
    assert voided(0.05, 0.06, 0.09) == [[], [], []], "similar shares"
    assert voided(0.01, 0.09) == [[], []], "of two, neither is the outlier"
    assert voided(None, 0.03, None, 0.03, 0.08) == [[], [], [], [], outlier]
