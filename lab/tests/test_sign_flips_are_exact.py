"""The sign-flip test counts every assignment of signs, checked by hand and by scipy. Above twenty
blocks it draws assignments and agrees with the normal distribution."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import permutation_test

from lab.judge.estimate import EXACT_UP_TO, sign_flip_p


@pytest.mark.parametrize(
    ("log_ratios", "p"),
    [
        # All on one side: only the observed signs and their mirror reach the sum. 2 / 2^n.
        ([0.1, 0.2, 0.3, 0.1, 0.2, 0.1], 2 / 64),
        ([-0.04] * 10, 2 / 1024),
        ([0.1] * 5, 0.0625),
        # |±1 ±2 ±3| >= 4 for +++, -++ and their mirrors: 4 of 8.
        ([-1.0, 2.0, 3.0], 0.5),
        # The sum is 0: every assignment is at least as far from 0.
        ([0.3, -0.1, -0.2], 1.0),
        # Ties that differ in the last bits only: 0.1 + 0.2 and 0.3. In tenths, |±1 ±2 ±3 ±3| >= 3
        # holds for all eight with equal signs of 3 and 3, and for four of the other eight.
        ([0.1, 0.2, -0.3, 0.3], 0.75),
        ([0.0, 0.0], 1.0),
        ([0.5], 1.0),
    ],
)
def test_by_hand(log_ratios: list[float], p: float) -> None:
    assert sign_flip_p(log_ratios) == p


def test_as_scipy_counts_it() -> None:
    random = np.random.default_rng(1)
    for n in (4, 7, 10):
        for shift in (0.0, 0.5, 1.0):
            values = random.normal(shift, 1, n)
            theirs = permutation_test(
                (values,), np.sum, permutation_type="samples", n_resamples=np.inf
            )
            assert sign_flip_p(list(values)) == pytest.approx(theirs.pvalue)


def test_twenty_blocks_are_still_counted() -> None:
    assert sign_flip_p([0.01] * EXACT_UP_TO) == 2 / 2**20


def test_more_blocks_are_drawn_and_come_out_the_same_every_time() -> None:
    values = list(np.random.default_rng(2).normal(0.3, 1, 40))
    found = sign_flip_p(values)
    assert found == sign_flip_p(values)
    # The sum of 40 signed values is approximately normal.
    deviation = abs(sum(values)) / math.sqrt(sum(value**2 for value in values))
    assert found == pytest.approx(2 * NormalDist().cdf(-deviation), rel=0.05)
    assert sign_flip_p([0.1] * 30) == pytest.approx(0.0, abs=1e-4)
    assert sign_flip_p([0.1] * 30) > 0, "the observed assignment is always counted"


def test_nothing_to_flip_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        sign_flip_p([])
