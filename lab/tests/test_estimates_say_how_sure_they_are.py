"""Student's p and interval agree, and Holm's correction is right."""

import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_1samp

from lab.judge import estimate
from lab.judge.estimate import (
    Ratio,
    band,
    differs,
    equivalent,
    holm,
    over_blocks,
    sign_flip_p,
    student_p,
)
from lab.plan import schedule


def spread(n: int, centre: float, deviation: float) -> list[float]:
    """*n* log ratios with exactly this mean and standard deviation."""
    values = np.random.default_rng(n).normal(0, 1, n)
    values = (values - values.mean()) / values.std(ddof=1)
    return list(centre + deviation * values)


def test_p_and_interval_are_those_of_students_test() -> None:
    logs = spread(10, 0.03, 0.05)
    theirs = ttest_1samp(logs, 0)
    low, high = theirs.confidence_interval(0.95)
    found = over_blocks(logs)
    assert student_p(logs) == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.ratio == pytest.approx(math.exp(0.03))
    assert found.n == 10


def test_blocks_that_agree_to_the_last_digit_need_no_division_by_zero() -> None:
    assert student_p([0.0] * 6) == 1.0
    assert student_p([0.5] * 6) == 0.0
    assert over_blocks([0.0] * 6) == Ratio(1.0, 1.0, 1.0, 6)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    ps = [0.001, 0.012, 0.02, 0.7]
    assert all(
        ours >= theirs for ours, theirs in zip(holm(ps), false_discovery_control(ps), strict=True)
    ), "Holm controls any false alarm, which is stricter than their rate"


def test_the_band_is_the_same_whichever_arm_is_the_baseline() -> None:
    low, high = band(0.05)
    assert (low, high) == (pytest.approx(1 / 1.05), 1.05)
    assert equivalent(Ratio(1.0, 0.96, 1.049, 10), 0.05)
    assert not equivalent(Ratio(1.0, 0.95, 1.049, 10), 0.05)
    assert not equivalent(Ratio(1.0, 0.96, 1.051, 10), 0.05)


@pytest.mark.parametrize(
    ("found", "p", "p_holm", "answer"),
    [
        (Ratio(1.1, 1.01, 1.2, 6), 0.03125, 0.05, True),
        (Ratio(0.9, 0.85, 0.99, 6), 0.03125, 0.05, True),
        (Ratio(1.1, 0.99, 1.2, 6), 0.03125, 0.05, False),
        (Ratio(1.1, 1.01, 1.2, 6), 0.0625, 0.05, False),
        (Ratio(1.1, 1.01, 1.2, 6), 0.03125, 0.051, False),
    ],
)
def test_a_difference_needs_all_three(found: Ratio, p: float, p_holm: float, answer: bool) -> None:
    assert differs(found, p, p_holm) is answer


def test_a_schedule_asks_for_as_many_blocks_as_a_verdict_needs() -> None:
    assert schedule.FEWEST_BLOCKS == estimate.MIN_BLOCKS
    assert sign_flip_p([0.1] * estimate.MIN_BLOCKS) <= 0.05
    assert sign_flip_p([0.1] * (estimate.MIN_BLOCKS - 1)) > 0.05


def test_one_block_says_nothing_about_blocks() -> None:
    for function in (over_blocks, student_p):
        with pytest.raises(ValueError, match="at least two blocks"):
            function([0.1])


def test_the_interval_of_the_largest_of_five_effects_holds_the_truth() -> None:
    """Of an effect that was picked by its result, the plain interval misses the truth in more than
    one run of eight; the simultaneous one misses it in one of twenty."""
    random = np.random.default_rng(9)
    plain, simultaneous = [], []
    for _ in range(2000):
        logs = random.normal(0, 0.05, (5, 8))
        largest = max(logs, key=lambda values: abs(values.mean()))
        for chosen_from, held in ((1, plain), (5, simultaneous)):
            found = over_blocks(list(largest), chosen_from)
            held.append(found.low <= 1 <= found.high)
    assert np.mean(plain) < 0.875
    assert np.mean(simultaneous) >= 0.94
