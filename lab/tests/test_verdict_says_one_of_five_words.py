"""A comparison has one of five verdicts, with its reasons."""

import json

import numpy as np
import pytest

from lab.judge import estimate, verdict
from lab.plan.experiment import Load
from lab.tests.invented_trials import BASE, CANARY, TWIN, Values, experiment, figures, fine, void
from lab.trial import METRICS

WIGGLE = np.array([0.02, -0.02, 0.01, -0.01, 0.015, -0.015, 0.005, -0.005, 0.0, 0.0])


def judged(new: Values, metric: str = "cpu_us", margin: float = 0.05) -> dict[str, object]:
    blocks = len(new)
    made = figures(fine(blocks, new=new), metric)
    rows = verdict.of(experiment(metric=metric, margin=margin), made, {})["comparisons"]
    (row,) = [row for row in rows if row["arm"] == "new"]
    return row


def test_slower_and_faster_follow_the_metrics_own_direction() -> None:
    assert judged(0.1 + WIGGLE)["verdict"] == "slower"
    assert judged(-0.1 + WIGGLE)["verdict"] == "faster"
    assert METRICS["rps"].better == "higher"
    assert judged(0.1 + WIGGLE, "rps")["verdict"] == "faster"
    assert judged(-0.1 + WIGGLE, "rps")["verdict"] == "slower"


def test_equivalent_is_the_whole_interval_within_the_margin() -> None:
    row = judged(WIGGLE)
    assert (row["verdict"], row["why"]) == ("equivalent", "")
    assert judged(WIGGLE, margin=0.005)["verdict"] == "inconclusive"


def test_a_difference_too_small_to_matter_is_equivalent_and_says_that_it_is_one() -> None:
    row = judged(0.02 + WIGGLE / 4)
    assert row["p"] == 2 / 2**10
    assert row["verdict"] == "equivalent"
    assert row["why"] == "equivalent, though different: the interval is within ±5%"
    assert judged(0.02 + WIGGLE / 4, margin=0.005)["verdict"] == "slower"


def test_inconclusive_says_how_many_blocks_would_settle_it() -> None:
    row = judged(0.02 + 4 * WIGGLE)
    assert row["verdict"] == "inconclusive"
    needed = row["blocks_needed"]
    assert isinstance(needed, int)
    assert needed > 10
    assert f"{needed} blocks would settle it four times in five" in str(row["why"])
    more = np.resize(0.02 + 4 * WIGGLE, (needed // 10 + 1) * 10)
    assert judged(more)["verdict"] != "inconclusive"


def test_void_is_less_than_six_good_blocks() -> None:
    row = judged(0.5 + WIGGLE[:5])
    assert row["verdict"] == "void"
    assert row["why"] == "5 of the 6 good blocks that are needed"
    assert row["ratio"] is not None, "the ratio of the blocks there are is shown"
    assert judged(0.5 + WIGGLE[:6])["verdict"] == "slower"
    alone = judged([0.5])
    assert (alone["verdict"], alone["ratio"], alone["p"]) == ("void", None, None)


def test_an_arm_that_never_ran_is_void_and_listed() -> None:
    found = verdict.of(experiment(), figures(fine()), {})
    (row,) = [row for row in found["comparisons"] if row["arm"] == "new"]
    assert (row["verdict"], row["n"], row["means"]["arm"]) == ("void", 0, None)
    json.dumps(found, allow_nan=False)


def test_six_blocks_can_tell_a_large_effect_among_many_arms() -> None:
    """The exact p over six blocks is at least 0.03; multiplied by ten arms it could not decide."""
    arms = [f"arm {number}" for number in range(10)]
    others = {arm: WIGGLE[:6] - 0.001 * number for number, arm in enumerate(arms[1:])}
    made = figures(fine(6, **{arms[0]: 2.7 + WIGGLE[:6]}, **others))
    rows = verdict.of(experiment(arms), made, {})["comparisons"]
    (row,) = [row for row in rows if row["arm"] == arms[0]]
    assert row["verdict"] == "slower"
    assert row["p"] == row["p_holm"] == 0.03125, "never below the exact p"


def test_holm_counts_the_arms_of_a_family_and_not_the_controls() -> None:
    small = 0.03 + 2 * WIGGLE
    alone = judged(small, margin=0.001)
    assert alone["verdict"] == "slower"
    arms = [f"arm {number}" for number in range(20)]
    made = figures(fine(10, **dict.fromkeys(arms[1:], 2 * WIGGLE), **{arms[0]: small}))
    rows = verdict.of(experiment(arms, margin=0.001), made, {})["comparisons"]
    (crowded,) = [row for row in rows if row["arm"] == arms[0]]
    assert crowded["verdict"] == "inconclusive"
    assert crowded["ratio"] == alone["ratio"]
    assert crowded["p_holm"] > 0.05 > alone["p_holm"]
    (twin,) = [row for row in rows if row["role"] == "twin"]
    student = estimate.student_p(list(fine()[TWIN]))
    assert twin["p_holm"] == pytest.approx(max(student, twin["p"]))


def test_secondary_metrics_and_loads_are_compared_after_the_primary_one() -> None:
    setup = experiment(loads=[Load("other", "open")])
    logs = {BASE: np.zeros(10), "new": 0.1 + WIGGLE}
    made = figures(fine(10, new=0.1 + WIGGLE))
    made += figures(logs, load="other") + figures(logs, "rps", load="other")
    for trial in made:
        trial.figures["failed"] = 0.0
    rows = verdict.of(setup, made, {})["comparisons"]
    assert [row["arm"] for row in rows if row["primary"]] == ["new", TWIN, CANARY]
    assert [row["primary"] for row in rows] == [True] * 3 + [False] * 2
    assert {(row["load"], row["metric"], row["verdict"]) for row in rows[3:]} == {
        ("other", "cpu_us", "slower"),
        ("other", "rps", "faster"),
    }, "a tally such as failed requests is not compared"


def test_a_void_trial_counts_for_what_its_void_leaves_alone() -> None:
    made = figures(fine(10, new=0.1 + WIGGLE))
    for trial in made:
        trial.figures["p99_ms"] = trial.figures["cpu_us"] / 100
        if trial.arm == "new" and trial.block <= 5:
            void(trial, "time")
    rows = verdict.of(experiment(), made, {})["comparisons"]
    n = {row["metric"]: row["n"] for row in rows if row["arm"] == "new"}
    assert n == {"cpu_us": 10, "p99_ms": 5}
    for trial in made:
        if trial.arm == "new" and trial.block <= 5:
            void(trial, "everything")
    rows = verdict.of(experiment(), made, {})["comparisons"]
    found = [row for row in rows if row["arm"] == "new"]
    assert {(row["n"], row["why"]) for row in found} == {
        (5, "5 of the 6 good blocks that are needed; void trials: made up (10)")
    }
