"""What a verdict predicts comes true four times in five, by simulation: the effect that so many
blocks find, and the blocks that would settle a comparison."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lab.judge import estimate, verdict
from lab.judge.comparison import compare
from lab.judge.power import (
    MOST_BLOCKS,
    believed,
    blocks_needed,
    detectable,
    enough_blocks,
    forecast,
)
from lab.tests.invented_trials import BASE, CANARY, TWIN, experiment, figures

pytestmark = pytest.mark.long

MARGIN = 0.05


def found(logs: list[float], family: int) -> bool:
    """By the strictest level of Holm's correction, and by the sign-flip test."""
    return family * estimate.student_p(logs) <= 0.05 and estimate.sign_flip_p(logs) <= 0.05


@pytest.mark.parametrize("family", [1, 5])
@pytest.mark.parametrize("n", [6, 8, 12])
def test_a_detectable_effect_is_found_four_times_in_five(n: int, family: int) -> None:
    """Effects of one run are looked for in another one."""
    random = np.random.default_rng(n)
    hits = []
    for _ in range(400):
        effect = detectable(list(random.normal(0, 0.05, n)), family)
        hits.append(found(list(random.normal(math.log1p(effect), 0.05, n)), family))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("n", "effect", "deviation", "family"),
    [(6, 0.0, 0.08, 1), (8, 0.02, 0.08, 1), (10, 0.04, 0.08, 5), (6, 0.0, 0.08, 5)],
)
def test_the_predicted_blocks_settle_it(
    n: int, effect: float, deviation: float, family: int
) -> None:
    """In seven of ten runs at least, where the old prediction was right in five: the number counts
    on effects and spreads that are possible, and a single true one may be an unfavourable one."""
    random = np.random.default_rng(7)
    right = []
    while len(right) < 120:
        logs = random.normal(effect, deviation, MOST_BLOCKS)
        first = list(logs[:n])
        if settled(first, family):
            continue
        right.append(settled(list(logs[: blocks_needed(first, MARGIN, family)]), family))
    assert np.mean(right) >= 0.7


def settled(logs: list[float], family: int) -> bool:
    """Without the sign-flip test, which agrees with Student's over this many blocks."""
    fits = estimate.equivalent(estimate.over_blocks(logs), MARGIN)
    return fits or family * estimate.student_p(logs) <= 0.05


def test_over_effects_and_spreads_the_prediction_is_right_four_times_in_five() -> None:
    random = np.random.default_rng(8)
    right = []
    while len(right) < 200:
        logs = random.normal(random.uniform(-0.1, 0.1), random.uniform(0.03, 0.1), MOST_BLOCKS)
        first = list(logs[:8])
        needed = blocks_needed(first, MARGIN, 3)
        if not settled(first, 3) and needed < MOST_BLOCKS:
            right.append(settled(list(logs[:needed]), 3))
    assert np.mean(right) == pytest.approx(0.8, abs=0.08)


def test_more_blocks_than_there_are_and_a_thousand_at_most() -> None:
    noisy = [-3.0, 3.0, -2.0, 2.0, 1.0, -1.0]
    assert 100 < blocks_needed(noisy, MARGIN) <= MOST_BLOCKS
    assert blocks_needed([0.2, 0.21] * 4, MARGIN) == 9
    for function in (lambda: blocks_needed([0.1], MARGIN), lambda: detectable([0.1])):
        with pytest.raises(ValueError, match="at least two blocks"):
            function()


def controls(random: np.random.Generator, deviation: float) -> dict[str, np.ndarray]:
    """Eight blocks of three arms, of a true twin, and of a canary that costs 8 %."""
    noise = random.normal(0, deviation, (5, 8))
    true = {"a": 0.2, "b": -0.1, "c": 0.0, TWIN: 0.0, CANARY: math.log(1.08)}
    effects = zip(true, true.values(), noise, strict=True)
    return {BASE: np.zeros(8)} | {arm: effect + values for arm, effect, values in effects}


@pytest.mark.parametrize("deviation", [0.02, 0.045, 0.07])
def test_a_correct_run_is_trusted_as_often_as_its_first_blocks_foretell(deviation: float) -> None:
    random = np.random.default_rng(3)
    setup = experiment("abc")
    foretold, trusted = [], []
    for _ in range(150):
        logs = controls(random, deviation)
        first = {arm: values[:3] for arm, values in logs.items()}
        rows = compare(setup, figures(first))
        foretold.append(believed(rows, 8, 0.05))
        trusted.append(verdict.of(setup, figures(logs), {})["trustworthy"])
    assert np.mean(foretold) == pytest.approx(np.mean(trusted), abs=0.12)


@pytest.mark.parametrize(("deviation", "usual"), [(0.01, 8), (0.025, 14)])
def test_intervals_hold_although_the_first_blocks_choose_their_number(
    deviation: float, usual: int
) -> None:
    """And noise is answered by more blocks."""
    random = np.random.default_rng(1)
    setup = experiment("abc")
    held, chosen = [], []
    for _ in range(150):
        logs = {arm: random.normal(0, deviation, 20) for arm in (BASE, TWIN, CANARY, *"abc")}
        logs[CANARY] = logs[CANARY] + 0.06
        first = {arm: values[:3] for arm, values in logs.items()}
        blocks = max(8, enough_blocks(setup, figures(first), 20))
        for arm in (TWIN, *"abc"):
            interval = estimate.over_blocks(list((logs[arm] - logs[BASE])[:blocks]))
            held.append(interval.low <= 1 <= interval.high)
        chosen.append(blocks)
    assert 0.91 < np.mean(held) < 0.985
    assert np.median(chosen) == pytest.approx(usual, abs=3)


def test_the_forecast_says_how_many_blocks_are_enough() -> None:
    quiet, noisy = ([0.0, 0.01, -0.01], [0.0, 0.15, -0.15])
    setup = experiment(())

    def foretold(wiggle: list[float]) -> str:
        logs = {BASE: np.zeros(3), TWIN: wiggle, CANARY: [0.3 + one for one in wiggle]}
        return forecast(setup, figures(logs), 8)

    assert foretold(quiet).startswith("with this noise a correct run of 8 blocks is trusted ")
    assert " blocks make it 95" in foretold([0.0, 0.03, -0.03])
    assert "use a quieter machine" in foretold(noisy)
    assert forecast(setup, [], 8) == "no arm has two good blocks yet"
