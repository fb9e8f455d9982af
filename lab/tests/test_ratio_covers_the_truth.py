"""The interval over blocks covers the true ratio 95 times in 100, with noise between starts."""

import math

import numpy as np
import pytest

from lab.judge.estimate import of_block, over_blocks

BLOCKS, ROUNDS, TRUE = 6, 40, 1.05


def simulated(random: np.random.Generator) -> list[float]:
    """10 % of noise per round, 2 % per start, 5 % per slice, and some slices with spikes."""
    logs = []
    for _ in range(BLOCKS):
        common = random.normal(0, 0.10, ROUNDS)
        start = random.normal(0, 0.02)
        spikes = (random.random((2, ROUNDS)) < 0.03) * random.exponential(1.0, (2, ROUNDS))
        noise = random.normal(0, 0.05, (2, ROUNDS)) + spikes
        ours = np.exp(common + noise[0] + start + math.log(TRUE))
        theirs = np.exp(common + noise[1])
        logs.append(of_block(list(ours), list(theirs)))
    return logs


def test_95_percent_intervals_cover_the_truth_95_times_in_100() -> None:
    random = np.random.default_rng(20261121)
    found = [over_blocks(simulated(random)) for _ in range(800)]
    coverage = sum(r.low <= TRUE <= r.high for r in found) / len(found)
    assert 0.93 <= coverage <= 0.97, coverage
    assert 0.995 <= np.mean([r.ratio for r in found]) / TRUE <= 1.005


def test_what_is_no_measurement_is_refused() -> None:
    with pytest.raises(ValueError, match="every round needs both arms"):
        of_block([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="was not measured"):
        of_block([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="at least two blocks"):
        over_blocks([0.1])
