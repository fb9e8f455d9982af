"""No gate knows the arm or its figures: every rule receives the evidence alone, and trials that
differ in everything else are judged alike."""

import dataclasses
import inspect
import typing

from lab.judge import gates
from lab.trial import METRICS, Evidence, Trial

# Fields by which a rule could favour an arm, or select trials by their outcome.
TELLING = {"arm", "load", "block", "attempt", "figures", "rounds", "options", "histograms"}


def test_a_rule_receives_the_evidence_and_nothing_else() -> None:
    for rule in gates.RULES:
        parameters = list(inspect.signature(rule).parameters)
        hints = typing.get_type_hints(rule)
        assert [hints[name] for name in parameters] == [Evidence], rule.__name__
    assert not TELLING & {field.name for field in dataclasses.fields(Evidence)}


def test_trials_that_differ_in_all_but_evidence_are_judged_alike() -> None:
    bad = Evidence(errors=50, done=1000, stolen=0.2, generator_cpu=0.9, users=8, seconds=2.0)
    one = Trial(1, "ours", "full", 1, "", 2.0, 1000, {"cpu_us": 500.0}, evidence=bad)
    other = Trial(
        7,
        "theirs",
        "one client",
        3,
        "2026-11-21T07:00:00Z",
        9.0,
        5,
        {"cpu_us": 9000.0, "rps": 3.0},
        rounds={"cpu_us": [9000.0]},
        evidence=dataclasses.replace(bad),
        options={"STACK_THUNDER_LOCK": "off"},
    )
    primary = METRICS["cpu_us"]
    assert gates.judge(one, primary=primary) == gates.judge(other, primary=primary) != []
    quiet = Trial(1, "a third", "full", 1, "", 2.0, 1000, evidence=Evidence(stolen=0.01))
    mine, theirs, *_ = gates.relative([one, other, quiet, quiet, quiet])
    assert mine == theirs != []
