"""Arrivals are a Poisson process, orders are shuffled; the seed alone decides both."""

import statistics
from collections import Counter
from itertools import pairwise

import pytest

from lab.measure.load_plan import arrivals, orders


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert arrivals(500, 10, 7) == arrivals(500, 10, 7)
    assert arrivals(500, 10, 7) != arrivals(500, 10, 8)
    # A longer load goes on where the shorter one ends.
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
    # The exponential distribution's own signs: as scattered as long, and half below ln 2 / rate.
    assert statistics.pstdev(gaps) == pytest.approx(1 / rate, rel=0.03)
    assert statistics.median(gaps) == pytest.approx(0.693 / rate, rel=0.03)
    # No memory: how many arrive in a second says nothing about the next, and varies as its mean.
    if rate < 100:
        each = Counter(int(moment) for moment in moments)
        assert statistics.pvariance(each.values()) == pytest.approx(rate, rel=0.1)


def test_every_round_visits_every_arm_once_in_an_order_of_its_own() -> None:
    rounds = list(orders(4, 200, 1))
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert rounds == list(orders(4, 200, 1))
    assert rounds != list(orders(4, 200, 2))
    assert len({tuple(order) for order in rounds}) == 24  # of 24 that there are
    # No arm is favoured with the first place.
    assert min(Counter(order[0] for order in rounds).values()) > 30
