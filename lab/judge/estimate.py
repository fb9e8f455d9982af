"""Statistics on log ratios: one ratio over all blocks, its 95 % interval, and tests.

There are two levels of noise. Within a block (one fresh start of every arm) the arms alternate in
short slices. Neighbouring slices share their noise, so ratios are taken between slices of the same
round and averaged as logarithms. Fresh starts differ as well (memory layout, choice of core), and
more slices do not average that out, so the interval is over blocks. See Kalibera & Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013.

The interval is Student's on the log ratios of the blocks. With six blocks it covers the truth 95 to
96 times in 100, even if one start in twenty is five times as noisy as the others; the wider of it
and the inverted sign-flip test (Hartigan 1969) covers it 97 to 98 times. The sign-flip test assumes
only that a block without an effect falls on either side with equal probability. It must agree
before a difference is reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import t, trim_mean

from lab.judge import numbers
from lab.trial import TRIM

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
# Of the interval that must contain a known dose. Every run has several doses, and each miss makes
# it untrustworthy.
CONTROL = 0.99

# Five blocks on the same side have p = 2 / 2^5 = 0.0625, so no difference could ever be reported.
# Six have 0.03125.
MIN_BLOCKS = 6

# Up to this number of blocks every assignment of signs is counted: 2^20 take milliseconds.
EXACT_UP_TO = 20
DRAWS = 200_000
SEED = 20_261_121


@dataclass(frozen=True)
class Ratio:
    """A ratio and its 95 % interval over *n* blocks."""

    ratio: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{numbers.ratio(self.ratio)} {numbers.interval(self.low, self.high)}, n={self.n}"


def of_block(costs: Sequence[float], baseline: Sequence[float]) -> float:
    """The log ratio of a block, where `costs[i]` and `baseline[i]` are of the same round.

    Raises ValueError if the rounds do not match or a cost is not positive.
    """
    if len(costs) != len(baseline) or not costs:
        raise ValueError(f"{len(costs)} and {len(baseline)} slices: every round needs both arms")
    if min(*costs, *baseline) <= 0:
        raise ValueError("a slice without a cost was not measured")
    return float(trim_mean(np.log(costs) - np.log(baseline), TRIM))


def of_differences(costs: Sequence[float], baseline: Sequence[float]) -> float:
    """The difference of a block, where `costs[i]` and `baseline[i]` are of the same round."""
    return float(trim_mean(np.subtract(costs, baseline), TRIM))


def mean_within(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of *values* over blocks, and its interval of CONTROL confidence: low, high.

    Raises ValueError for fewer than two blocks.
    """
    centre, error = _centre_and_error(values)
    half = float(t.ppf((1 + CONTROL) / 2, len(values) - 1)) * error
    return centre, centre - half, centre + half


def over_blocks(log_ratios: Sequence[float], chosen_from: float = 1) -> Ratio:
    """The ratio over all blocks, with Student's interval on the logarithms.

    chosen_from: the number of comparisons among which this one was picked by its result, or the
    looks after which it could have been (lab.judge.looks). The interval is then Bonferroni's,
    simultaneous over all of them: the plain one of the largest of five effects misses the truth in
    one run of five. Raises ValueError for fewer than two blocks.
    """
    centre, error = _centre_and_error(log_ratios)
    n = len(log_ratios)
    half = _students_factor(n, chosen_from) * error
    return Ratio(math.exp(centre), math.exp(centre - half), math.exp(centre + half), n)


@cache
def _students_factor(n: int, comparisons: float) -> float:
    """Half the width of the interval over *n* blocks, in standard errors."""
    return float(t.ppf(1 - ALPHA / 2 / comparisons, n - 1))


def student_p(log_ratios: Sequence[float]) -> float:
    """The two-sided p of the interval: below 0.05 if the interval excludes 1.

    Raises ValueError for fewer than two blocks.
    """
    centre, error = _centre_and_error(log_ratios)
    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return float(2 * stdtr(len(log_ratios) - 1, -abs(centre) / error))


def sign_flip_p(log_ratios: Sequence[float]) -> float:
    """The two-sided p of the sign-flip test of the mean.

    It is the share of all assignments of signs to the blocks that leave the mean at least as far
    from 0. Exact up to 20 blocks, so never below 2 / 2^n; above, from seeded draws that include the
    observed assignment. Raises ValueError for no blocks.
    """
    values = np.asarray(log_ratios, dtype=float)
    if not values.size:
        raise ValueError("a sign-flip test needs at least one block")
    observed = abs(float(values.sum()))
    # Sums that are mathematically equal differ in their last bits.
    at_least = observed - 1e-12 * float(np.abs(values).sum())
    if values.size <= EXACT_UP_TO:
        sums: NDArray[np.float64] = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= at_least))
    random = np.random.default_rng(SEED)
    found = 1
    for draws in (DRAWS // 10,) * 10:
        signs = random.choice((-1.0, 1.0), (draws, values.size))
        found += int(np.count_nonzero(np.abs(signs @ values) >= at_least))
    return found / (DRAWS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each, in the given order (Holm 1979).

    Reporting those below 0.05 keeps the chance of any false alarm among all of them below 5 %.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def band(margin: float) -> tuple[float, float]:
    """The ratios that count as equal, 1/(1 + margin) to 1 + margin.

    It is symmetric: the result does not depend on which of two arms is the baseline.
    """
    return 1 / (1 + margin), 1 + margin


def equivalent(found: Ratio, margin: float) -> bool:
    """Whether the whole interval is inside the band."""
    low, high = band(margin)
    return low <= found.low and found.high <= high


def differs(found: Ratio, p_sign_flip: float, p_holm: float) -> bool:
    """Whether the interval, the sign-flip test and Holm's correction all exclude a ratio of 1."""
    excludes = found.low > 1 or found.high < 1
    return excludes and p_sign_flip <= ALPHA and p_holm <= ALPHA


def _centre_and_error(log_ratios: Sequence[float]) -> tuple[float, float]:
    """The mean of the values, such as log ratios, and its standard error."""
    if len(log_ratios) < 2:
        raise ValueError("an interval needs at least two blocks")
    values = np.asarray(log_ratios, dtype=float)
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
