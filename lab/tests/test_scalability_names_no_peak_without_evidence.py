"""The universal scalability law is fitted with intervals that hold the truth, and names a peak only
where coherency is surely not 0."""

import math

import numpy as np
import pytest

from lab.judge.scalability import fit, throughput

USERS = (1, 2, 4, 8, 16, 32)
BLOCKS = 10


def rates(
    random: np.random.Generator,
    contention: float,
    coherency: float,
    noise: float = 0.03,
    users: tuple[int, ...] = USERS,
) -> dict[int, list[float]]:
    """Each block's mood is its own (10 %), each rate's noise its own."""
    mood = np.exp(random.normal(0, 0.1, BLOCKS))
    return {
        number: list(
            throughput(float(number), 500.0, contention, coherency)
            * mood
            * np.exp(random.normal(0, noise, BLOCKS))
        )
        for number in users
    }


def test_without_noise_the_law_is_found_exactly() -> None:
    exact = {number: [float(throughput(float(number), 500, 0.1, 0.002))] * 6 for number in USERS}
    found = fit(exact)
    assert found.one_user.value == pytest.approx(500)
    assert found.contention.value == pytest.approx(0.1)
    assert found.coherency.value == pytest.approx(0.002)
    assert found.peak_users == pytest.approx(math.sqrt(0.9 / 0.002))
    assert found.peak_rps == pytest.approx(float(throughput(math.sqrt(450), 500, 0.1, 0.002)))
    assert found.why == ""


def test_the_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(7)
    found = [fit(rates(random, 0.1, 0.002)) for _ in range(20)]
    for name, true in (("contention", 0.1), ("coherency", 0.002), ("one_user", 500.0)):
        parameters = [getattr(one, name) for one in found]
        held = np.mean([one.low <= true <= one.high for one in parameters])
        assert held >= 0.8, (name, held)
    assert np.mean([one.peak_users is not None for one in found]) >= 0.95
    assert np.median([one.peak_users for one in found]) == pytest.approx(math.sqrt(450), rel=0.03)


def test_throughput_that_levels_off_has_no_peak() -> None:
    random = np.random.default_rng(8)
    found = [fit(rates(random, 0.3, 0.0)) for _ in range(8)]
    without = [one for one in found if one.peak_users is None]
    assert len(without) >= 6
    assert all("no peak can be told" in one.why and one.peak_rps is None for one in without)


def test_a_limit_that_is_hit_at_once_is_not_the_law() -> None:
    """Users who wait 22 ms each, on slots that run out at 640 requests/s: as measured on two cores
    with a view that mostly waits."""
    steps = [1.0, 1.01, 0.99, 1.005, 0.995, 1.002]
    rates = {number: [min(44.0 * number, 640.0) * step for step in steps] for number in USERS}
    found = fit(rates)
    assert found.contention.high < 0
    assert found.peak_users is None
    assert "does not describe" in found.why


def test_a_peak_beyond_what_was_tried_is_said_to_be_extrapolated() -> None:
    found = fit(rates(np.random.default_rng(9), 0.05, 0.0005, noise=0.001))
    assert found.peak_users == pytest.approx(math.sqrt(0.95 / 0.0005), rel=0.1)
    assert found.why == "beyond the 32 users that were tried: extrapolated, not measured"


def test_what_cannot_be_fitted_is_refused() -> None:
    random = np.random.default_rng(10)
    with pytest.raises(ValueError, match="5 numbers of users"):
        fit(rates(random, 0.1, 0.0, users=USERS[:5]))
    few = {number: values[:5] for number, values in rates(random, 0.1, 0.0).items()}
    with pytest.raises(ValueError, match="5 blocks"):
        fit(few)
    uneven = rates(random, 0.1, 0.0)
    uneven[4].pop()
    with pytest.raises(ValueError, match="every block needs a rate"):
        fit(uneven)
    with pytest.raises(ValueError, match="not positive"):
        fit(rates(random, 0.1, 0.0) | {1: [0.0] * BLOCKS})
