"""No gate knows the arm or its outcome: every rule receives the evidence alone. Trials that differ
in the arm, in their figures or in what the server did under the load are judged alike."""

import dataclasses
import inspect
import random
import typing

import pytest

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
    bad = Evidence(wrong=50, done=1000, stolen=0.2, generator_cpu=0.9, users=8, seconds=2.0)
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


def outcome(chance: random.Random) -> dict[str, typing.Any]:
    """What a server may do under a load: from twice as fast as any to hardly an answer."""
    intended = chance.randrange(1000, 3000)
    dropped = chance.choice([0, chance.randrange(intended)])
    sent = intended - dropped
    unanswered = chance.choice([0, chance.randrange(sent)])
    done = sent - unanswered
    response_s = 10 ** chance.uniform(-4, 1)
    return {
        "intended": intended,
        "dropped": dropped,
        "sent": sent,
        "done": done,
        "served": chance.randint(done, sent),
        "errors": chance.randint(unanswered, sent),
        "faults": ["1 x 502 Bad Gateway"],
        "seconds": 10 ** chance.uniform(-1, 3),
        "mean_response_s": response_s,
        "response_p50_ms": 1000 * response_s,
        "lag_p50_ms": 10 ** chance.uniform(-3, 3),
        "lag_p99_ms": 10 ** chance.uniform(-3, 4),
        "slots": 8,
        "holds_s": 0.01,
        "reported_rps": 10 ** chance.uniform(0, 5),
        "pressure": chance.random(),
    }


@pytest.mark.parametrize(
    "machine",
    [
        Evidence(users=8, stolen=0.01, generator_cpu=0.5, wrong=0),
        Evidence(users=8, stolen=0.2, generator_cpu=0.9, wrong=3, idle_share=0.5, ended=1),
    ],
    ids=["quiet", "bad"],
)
def test_an_outcome_changes_no_void(machine: Evidence) -> None:
    """Lock-on arms once lost 5 of 35 blocks at 90 % load to the send lag, lock-off arms none."""
    chance = random.Random(13)
    found = set()
    for _ in range(2000):
        trial = Trial(1, "an arm", "90 %", 1, "", 2.0, 1000)
        trial.evidence = dataclasses.replace(machine, **outcome(chance))
        voids = gates.judge(trial, primary=METRICS["p99_ms"])
        found.add(tuple(void.rule for void in voids))
        assert gates.relative([trial] * 4) == [[]] * 4
    assert len(found) == 1
    assert bool(*found) == (machine.wrong != 0)
