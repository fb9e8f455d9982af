"""A run whose twin differs, whose canary is not found, or whose trials are mostly void is
untrustworthy. It says why, and exits with 3."""

from dataclasses import replace

import numpy as np
import pytest

from lab.judge import verdict
from lab.judge.comparison import Comparison
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.report import words
from lab.tests.invented_trials import (
    BASE,
    CANARY,
    COST,
    TWIN,
    Values,
    experiment,
    figures,
    fine,
    void,
)
from lab.trial import Trial

WIGGLE = fine()[TWIN]
NOT_FOUND = 'the canary "base, canary" has a known cost that was not found'


def judged(made: list[Trial], **setup: object) -> dict[str, object]:
    return verdict.of(experiment(**setup), made, {})


def run(**others: Values) -> list[Trial]:
    return figures({**fine(10, new=-0.2 + WIGGLE), **others})


def test_with_good_controls_a_run_is_trustworthy_and_says_why() -> None:
    found = judged(run())
    assert found["trustworthy"] is True
    assert str(found["why"]).startswith("the twin is equivalent (ratio 1.0")
    assert 'and the canary "base, canary" was found (ratio 1.106 [' in str(found["why"])
    assert verdict.exit_code(found) == 0


@pytest.mark.parametrize(
    ("controls", "why"),
    [
        (
            {TWIN: 0.12 + np.asarray(WIGGLE)},
            "the twin repeats the baseline but is not equivalent",
        ),
        (
            {TWIN: 20 * np.asarray(WIGGLE)},
            "the twin repeats the baseline but is not equivalent",
        ),
        (
            {CANARY: np.asarray(WIGGLE)},
            NOT_FOUND,
        ),
        (
            {CANARY: -0.1 + np.asarray(WIGGLE)},
            NOT_FOUND,
        ),
        ({TWIN: [0.0] * 5}, "the twin cannot be judged (5 of the 6 good blocks"),
        ({CANARY: [0.1] * 5}, 'the canary "base, canary" cannot be judged (5 of the 6 good blocks'),
    ],
)
def test_a_control_that_fails_is_named_with_its_interval(
    controls: dict[str, Values], why: str
) -> None:
    found = judged(run(**controls), expect={"new": "faster"})
    assert found["trustworthy"] is False
    assert why in str(found["why"])
    assert "ratio " in str(found["why"]) or "good blocks" in str(found["why"])
    assert str(found["answer"]) == f"untrustworthy, because {found['why']}"
    assert verdict.exit_code(found) == 3, "a met expectation does not help"


def test_a_canary_within_the_margin_must_still_be_found() -> None:
    small = 0.03 + np.asarray(WIGGLE) / 2
    found = judged(run(**{CANARY: small, "new": small}))
    words = {row["arm"]: row["verdict"] for row in found["comparisons"]}
    assert words == {"new": "equivalent", TWIN: "equivalent", CANARY: "slower"}
    assert found["trustworthy"] is True


def test_a_canary_of_throughput_is_found_where_it_has_less() -> None:
    made = figures({**fine(10, new=WIGGLE), CANARY: -0.1 + np.asarray(WIGGLE)}, "rps")
    assert judged(made, metric="rps")["trustworthy"] is True
    assert judged(figures(fine(10, new=WIGGLE), "rps"), metric="rps")["trustworthy"] is False


def test_more_void_trials_than_good_ones_are_not_trusted() -> None:
    half = run()
    half += [void(trial) for trial in run() if trial.arm == "new"]
    assert judged(half)["trustworthy"] is True, "half of them"
    most = [*half, void(next(trial for trial in run() if trial.arm == "new"))]
    found = judged(most)
    assert found["why"] == '11 of 21 trials of "new" were void'
    assert found["voided"] == 11
    assert found["void_by_rule"] == {"made up": 11}


def test_without_controls_nothing_is_trusted() -> None:
    found = judged([trial for trial in run() if trial.arm in {BASE, "new"}])
    assert "the twin cannot be judged" in str(found["why"])
    assert 'the canary "base, canary" cannot be judged' in str(found["why"])


def with_doses(metric: str) -> Experiment:
    """Two canaries, of 40 and 80 µs."""
    plain = experiment(metric=metric)
    arms = tuple(arm for arm in plain.arms if arm.role != "canary")
    doses = tuple(
        ArmSpec(dose, against=BASE, role="canary", dose=dose) for dose in ("burn_40", "burn_80")
    )
    return replace(plain, arms=(*arms, *doses))


def dosed(first: float, second: float, metric: str = "cpu_us") -> dict[str, object]:
    """A run whose canaries add *first* and *second* µs to the 500 of the baseline."""
    logs = fine(10, new=-0.2 + WIGGLE)
    del logs[CANARY]
    noise = np.asarray(WIGGLE) / 4
    logs |= {
        "burn_40": np.log1p(first / COST) + noise,
        "burn_80": np.log1p(second / COST) - noise,
    }
    return verdict.of(with_doses(metric), figures(logs, metric), {})


def test_both_doses_must_be_found_as_large_as_they_are() -> None:
    good = dosed(41, 80)
    assert good["trustworthy"] is True
    assert 'the canary "burn_40" was found as +4' in str(good["why"])
    assert "of 40 µs (ratio 1.08" in str(good["why"])


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (12, 24, 'the canary "burn_40" adds 40 µs, and this run found +1'),
        (40, 100, 'the canary "burn_80" adds 80 µs, and this run found +'),
    ],
)
def test_a_cost_of_another_size_is_not_trusted(first: float, second: float, why: str) -> None:
    """wake_1 added 0.3 wake-ups instead of 1, and was "found"."""
    found = dosed(first, second)
    assert found["trustworthy"] is False
    assert why in str(found["why"])


def test_a_figure_without_controls_is_marked() -> None:
    other = Load("other", "closed")
    logs = fine(10, new=-0.2 + WIGGLE)
    made = figures(logs) + figures({arm: logs[arm] for arm in (BASE, "new")}, load="other")
    found = judged(made, loads=[other])
    rows = {row["load"]: row for row in found["comparisons"] if row["arm"] == "new"}
    assert (rows["main"]["controlled"], rows["other"]["controlled"]) == (True, False)
    assert rows["other"]["controls"] == "there is no twin; there is no canary that changes it"
    shown = [words.verdict_in_full(Comparison.from_json(rows[load])) for load in ("main", "other")]
    assert shown == ["faster", "faster, not controlled"]


def test_a_metric_that_no_canary_changes_is_not_controlled() -> None:
    found = dosed(40, 80)
    (row,) = [row for row in found["comparisons"] if row["arm"] == "new"]
    assert row["controlled"] is True
    (row,) = [row for row in dosed(40, 80, "wakeups")["comparisons"] if row["arm"] == "new"]
    assert row["controlled"] is False
    assert "there is no canary that changes it" in row["controls"]
