"""A run whose twin differs, whose canary is not found, or whose trials are mostly void is
untrustworthy. It says why, and exits with 3."""

import numpy as np
import pytest

from lab.judge import verdict
from lab.tests.invented_trials import (
    BASE,
    CANARY,
    TWIN,
    Values,
    experiment,
    figures,
    fine,
    void,
)
from lab.trial import Trial

WIGGLE = fine()[TWIN]


def judged(made: list[Trial], **setup: object) -> dict[str, object]:
    return verdict.of(experiment(**setup), made, {})


def run(**others: Values) -> list[Trial]:
    return figures({**fine(10, new=-0.2 + WIGGLE), **others})


def test_with_good_controls_a_run_is_trustworthy_and_says_why() -> None:
    found = judged(run())
    assert found["trustworthy"] is True
    assert str(found["why"]).startswith("the twin is equivalent (ratio 1.0")
    assert "and the canary was found (ratio 1.106 [" in str(found["why"])
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
        ({CANARY: np.asarray(WIGGLE)}, "the canary has a known cost that was not found"),
        (
            {CANARY: -0.1 + np.asarray(WIGGLE)},
            "the canary has a known cost that was not found",
        ),
        ({TWIN: [0.0] * 5}, "the twin cannot be judged (5 of the 6 good blocks"),
        ({CANARY: [0.1] * 5}, "the canary cannot be judged (5 of the 6 good blocks"),
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
    assert "the canary cannot be judged" in str(found["why"])
