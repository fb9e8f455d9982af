"""Student's p and interval agree, Holm's correction is right, and so are the predictions of blocks
needed and of detectable effects."""

import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_1samp

from lab.judge import estimate
from lab.judge.estimate import (
    Ratio,
    band,
    blocks_needed,
    detectable,
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


def test_the_predicted_blocks_settle_a_comparison() -> None:
    """With equal mean and spread, the predicted number settles it and one block less does not."""
    for centre, deviation, family in ((0.0, 0.1, 1), (0.01, 0.1, 1), (0.04, 0.08, 5)):
        needed = blocks_needed(spread(8, centre, deviation), 0.05, family)
        assert needed > 8

        def settled(n: int, c: float = centre, d: float = deviation, m: int = family) -> bool:
            found = over_blocks(spread(n, c, d))
            return equivalent(found, 0.05) or m * student_p(spread(n, c, d)) <= 0.05

        assert settled(needed)
        assert not settled(needed - 1)


def test_blocks_needed_follow_the_square_of_the_half_width() -> None:
    logs = spread(30, 0.0, 0.2)
    half = math.log(over_blocks(logs).high)
    rule = 30 * (half / math.log(1.05)) ** 2
    assert blocks_needed(logs, 0.05) == pytest.approx(rule, rel=0.1)
    assert blocks_needed(spread(6, 0.0, 3.0), 0.05) == estimate.MOST_BLOCKS
    assert blocks_needed(spread(8, 0.2, 0.01), 0.05) == 9, "always more than there are"


def test_a_detectable_effect_is_found_four_times_in_five() -> None:
    random = np.random.default_rng(6)
    effect = detectable(spread(10, 0.0, 0.03))
    # For a spread of 5 %: 6 blocks detect 7.4 %, 10 blocks 5.1 %, 20 blocks 3.4 %.
    assert detectable(spread(6, 0.0, 0.05)) == pytest.approx(0.074, abs=0.001)
    assert detectable(spread(20, 0.0, 0.05)) == pytest.approx(0.034, abs=0.001)
    found = [
        student_p(list(random.normal(math.log1p(effect), 0.03, 10))) <= 0.05 for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_a_schedule_asks_for_as_many_blocks_as_a_verdict_needs() -> None:
    assert schedule.FEWEST_BLOCKS == estimate.MIN_BLOCKS
    assert sign_flip_p([0.1] * estimate.MIN_BLOCKS) <= 0.05
    assert sign_flip_p([0.1] * (estimate.MIN_BLOCKS - 1)) > 0.05


def test_one_block_says_nothing_about_blocks() -> None:
    for function in (over_blocks, student_p, detectable):
        with pytest.raises(ValueError, match="at least two blocks"):
            function([0.1])
    with pytest.raises(ValueError, match="at least two blocks"):
        blocks_needed([0.1], 0.05)
