"""The last good attempt counts, rotations are compared round by round, and figures without a ratio
get none."""

import copy
import math

import numpy as np
import pytest

from lab.judge import verdict
from lab.tests.invented_trials import BASE, COST, experiment, figures, fine, rounds, void
from lab.trial import Trial


def row(made: list[Trial], **setup: str) -> dict[str, object]:
    rows = verdict.of(experiment(**setup), made, {})["comparisons"]
    (found,) = [one for one in rows if one["arm"] == "new"]
    return found


def again(trial: Trial, attempt: int, cost: float) -> Trial:
    other = copy.deepcopy(trial)
    other.attempt, other.voids = attempt, []
    other.figures = dict.fromkeys(other.figures, cost)
    return other


def test_the_last_good_attempt_counts_whatever_the_order_of_the_file() -> None:
    made = figures(fine(new=np.zeros(10)))
    first = next(trial for trial in made if (trial.arm, trial.block) == ("new", 3))
    void(first)
    made.insert(0, void(again(first, 3, 9 * COST)))
    made.insert(0, again(first, 2, 2 * COST))
    found = row(made)
    assert found["n"] == 10
    assert found["values"]["arm"][2] == pytest.approx(2 * COST)
    assert verdict.of(experiment(), made, {})["voided"] == 2


def test_rotations_are_compared_round_against_round() -> None:
    """Noise that the arms of a round share cancels, and an interrupted slice is trimmed; a ratio of
    means would keep both."""
    common = np.random.default_rng(11).normal(0, 0.5, (10, 30))
    logs = {arm: common + log[:, None] for arm, log in fine(new=np.full(10, 0.1)).items()}
    logs["new"][:, 7] += 3.0
    made = rounds(logs)
    for trial in made:
        trial.figures["cpu_us"] = float(np.mean(trial.rounds["cpu_us"]))
    found = row(made, kind="rotation")
    assert found["ratio"] == pytest.approx(math.exp(0.1))
    assert found["high"] == pytest.approx(found["low"])
    for trial in made:
        trial.rounds.clear()
    assert row(made, kind="rotation")["ratio"] > 1.3, "otherwise the rounds would not matter"


def test_rounds_of_different_attempts_are_not_compared() -> None:
    made = rounds({arm: np.tile(log, (4, 1)).T for arm, log in fine(new=np.zeros(10)).items()})
    for trial in [trial for trial in made if trial.block == 1]:
        if trial.arm == "new":
            void(trial)
            made.append(again(trial, 2, COST))
    assert row(made, kind="rotation")["n"] == 9
    made += [again(trial, 2, COST) for trial in made if trial.block == 1 and trial.arm == BASE]
    assert row(made, kind="rotation")["n"] == 10


def test_a_round_without_an_event_falls_back_to_the_figure_of_the_block() -> None:
    made = rounds({arm: np.zeros((10, 4)) for arm in fine(new=np.zeros(10))}, "preemptions")
    for trial in made:
        twice = 2.0 if trial.arm == "new" else 1.0
        trial.rounds["preemptions"] = [0.0, 0.0, 0.0, 4 * twice]
        trial.figures["preemptions"] = twice
    assert row(made, kind="rotation", metric="preemptions")["ratio"] == pytest.approx(2.0)


def test_the_two_figures_of_a_row_divide_to_its_ratio() -> None:
    """Medians do not: here they are equal, and the ratio is 0.9."""
    base = np.resize([0.0, 0.0, 0.3], 9)
    found = row(figures(fine(9, **{BASE: base, "new": np.resize([0.0, 0.0, -0.016], 9)})))
    assert found["ratio"] == pytest.approx(math.exp(-0.316 / 3))
    assert found["means"]["arm"] / found["means"]["baseline"] == pytest.approx(found["ratio"])


def test_no_event_at_all_counts_as_half_a_one() -> None:
    logs = fine(new=np.zeros(10))
    made = figures(logs, "eagain", requests=1000)
    for trial in made:
        trial.figures["eagain"] = 0.0 if trial.arm == "new" else 2.0
    found = row(made, metric="eagain")
    assert found["ratio"] == pytest.approx(0.0005 / 2.0005)
    assert found["verdict"] == "faster"
    assert found["means"] == {"arm": 0.0, "baseline": 2.0}
    for trial in made:
        trial.figures["eagain"] = 0.0
    assert (row(made, metric="eagain")["ratio"], row(made, metric="eagain")["verdict"]) == (
        1.0,
        "equivalent",
    )


def test_a_zero_that_is_no_count_has_no_ratio() -> None:
    made = figures(fine(new=np.zeros(10)), "balance")
    for trial in made:
        if trial.arm == "new" and trial.block == 2:
            trial.figures["balance"] = 0.0
    found = row(made, metric="balance")
    assert (found["verdict"], found["ratio"], found["n"]) == ("void", None, 0)
    assert found["why"] == "0 against 500 (block 2) has no ratio"
    assert found["means"] == pytest.approx({"arm": 0.9 * COST, "baseline": COST})
