"""Arrivals are a Poisson process and orders are random; the seed determines both."""

import statistics
from collections import Counter
from itertools import pairwise

import pytest

from lab.measure.load_plan import arrivals, orders


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert arrivals(500, 10, 7) == arrivals(500, 10, 7)
    assert arrivals(500, 10, 7) != arrivals(500, 10, 8)
    # A longer load continues the shorter one.
    assert arrivals(500, 20, 7)[: len(arrivals(500, 10, 7))] == arrivals(500, 10, 7)


@pytest.mark.parametrize("rate", [20, 3000])
def test_arrivals_have_their_rate_and_exponential_gaps(rate: int) -> None:
    seconds = 40_000 / rate
    moments = arrivals(rate, seconds, "seed")
    assert moments[0] > 0
    assert moments[-1] < seconds
    assert len(moments) == pytest.approx(40_000, rel=0.02)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert statistics.fmean(gaps) == pytest.approx(1 / rate, rel=0.02)
    # The exponential distribution: its deviation equals its mean, its median is ln 2 / rate.
    assert statistics.pstdev(gaps) == pytest.approx(1 / rate, rel=0.03)
    assert statistics.median(gaps) == pytest.approx(0.693 / rate, rel=0.03)
    # Counts per second are independent, with a variance equal to their mean.
    if rate < 100:
        each = Counter(int(moment) for moment in moments)
        assert statistics.pvariance(each.values()) == pytest.approx(rate, rel=0.1)


def test_every_round_has_every_arm_once_in_random_order() -> None:
    rounds = list(orders(4, 200, 1))
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert rounds == list(orders(4, 200, 1))
    assert rounds != list(orders(4, 200, 2))
    assert len({tuple(order) for order in rounds}) == 24  # all permutations
    # No arm is first more often than the others.
    assert min(Counter(order[0] for order in rounds).values()) > 30
