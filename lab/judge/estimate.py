"""From costs to one ratio, its interval, and a word for it.

Two levels are kept apart. Within a block (one fresh start of everything) the arms take turns in
short slices; a slice's neighbours share its noise, so the ratio is taken slice against slice of the
same round and averaged as a logarithm. Starts differ too (memory layout, which core), and repeating
slices cannot average that out: the interval is over blocks. See Kalibera & Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013.

The interval is Student's on the log ratios of the blocks. It was weighed against the wider of that
and the interval that the sign-flip test gives when it is turned around (Hartigan 1969): with six
blocks the wider one holds the truth 97 to 98 times in 100, Student's 95 to 96, also with one start
in twenty five times as noisy as the rest. So Student's interval stands, and the sign-flip test,
which assumes no more than that a block without an effect is as likely to fall on either side, must
agree before a difference is called one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr
from scipy.stats import nct, t, trim_mean

Word = Literal["faster", "slower", "equivalent", "inconclusive", "void"]

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE

# The usual chance with which an effect that is called detectable should be found.
POWER = 0.8

# A slice in which the machine did something else for a moment costs several times the others. The
# same share is cut at both ends, whichever arm it is.
TRIM = 0.1

# Five blocks that all fall on one side have p = 2 / 2^5 = 0.0625: nothing could be called
# different. Six can (0.03125).
MIN_BLOCKS = 6

# Up to here every assignment of signs is looked at; 2^20 are a million, and milliseconds.
EXACT_UP_TO = 20
DRAWS = 200_000
SEED = 20_261_121

# Who needs more blocks than this needs another machine or a larger margin.
MOST_BLOCKS = 1000


@dataclass(frozen=True)
class Ratio:
    """A ratio of two costs and its 95 % interval; `n` is the number of blocks."""

    ratio: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}], n={self.n}"


def of_block(costs: Sequence[float], baseline: Sequence[float]) -> float:
    """The log ratio of a block: `costs[i]` and `baseline[i]` are of the same round.

    Raises ValueError for rounds that do not match or a cost that is not positive.
    """
    if len(costs) != len(baseline) or not costs:
        raise ValueError(f"{len(costs)} and {len(baseline)} slices: every round needs both arms")
    if min(*costs, *baseline) <= 0:
        raise ValueError("a slice that cost nothing was not measured")
    return float(trim_mean(np.log(costs) - np.log(baseline), TRIM))


def over_blocks(log_ratios: Sequence[float]) -> Ratio:
    """The ratio over all blocks, with Student's interval on the logarithms.

    Raises ValueError for less than two blocks: one start says nothing about starts.
    """
    centre, error = _centre_and_error(log_ratios)
    n = len(log_ratios)
    half = _students_factor(n) * error
    return Ratio(math.exp(centre), math.exp(centre - half), math.exp(centre + half), n)


@cache
def _students_factor(n: int) -> float:
    """Half of the interval over *n* blocks, in standard errors."""
    return float(t.ppf((1 + CONFIDENCE) / 2, n - 1))


def student_p(log_ratios: Sequence[float]) -> float:
    """The two-sided p that belongs to the interval: below 0.05 where it excludes 1.

    Raises ValueError for less than two blocks.
    """
    centre, error = _centre_and_error(log_ratios)
    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return float(2 * stdtr(len(log_ratios) - 1, -abs(centre) / error))


def sign_flip_p(log_ratios: Sequence[float]) -> float:
    """The two-sided p of the sign-flip test of the mean: how many assignments of signs to the
    blocks leave it at least as far from 0, as a share of all.

    Exact up to 20 blocks (so never below 2 / 2^n); above, from seeded draws, the one that was
    observed among them. Raises ValueError where there is nothing to flip.
    """
    values = np.asarray(log_ratios, dtype=float)
    if not values.size:
        raise ValueError("a sign-flip test needs at least one block")
    observed = abs(float(values.sum()))
    # Sums that are equal on paper differ in their last bits.
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
    """Holm's adjusted p of each, in the order given: below 0.05 only where the chance of any false
    alarm among all of them stays below 5 % (Holm 1979)."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def band(margin: float) -> tuple[float, float]:
    """The ratios that count as equal: 1/(1 + margin) to 1 + margin, so that it does not matter
    which of two arms is called the baseline."""
    return 1 / (1 + margin), 1 + margin


def equivalent(found: Ratio, margin: float) -> bool:
    """Whether the whole interval lies inside the band."""
    low, high = band(margin)
    return low <= found.low and found.high <= high


def differs(found: Ratio, p_sign_flip: float, p_holm: float) -> bool:
    """Whether interval, sign flips and the family of comparisons all say that it is not 1."""
    excludes = found.low > 1 or found.high < 1
    return excludes and p_sign_flip <= ALPHA and p_holm <= ALPHA


def blocks_needed(log_ratios: Sequence[float], margin: float, family: int = 1) -> int:
    """About how many blocks in all would settle a comparison that these did not.

    A ratio near 1 is settled once the interval fits into the band, one far from it once the
    interval excludes 1 (at 5 % / *family*, the hardest that Holm can ask); whichever is nearer
    counts. For a ratio of 1 it is n·(half-width / margin)², but for Student's factor, which falls
    as blocks are added. Never more than 1000, always more than there are. Raises ValueError for
    less than two blocks.
    """
    centre, error = _centre_and_error(log_ratios)
    n = len(log_ratios)
    spread = error * math.sqrt(n)
    more = np.arange(max(n + 1, MIN_BLOCKS), MOST_BLOCKS + 1)
    if not more.size:
        return n + 1
    errors = spread / np.sqrt(more)
    to_fit = _factors_by_blocks(1)[more] * errors <= math.log1p(margin) - abs(centre)
    to_exclude = _factors_by_blocks(family)[more] * errors < abs(centre)
    enough = more[to_fit | to_exclude]
    return int(enough[0]) if enough.size else MOST_BLOCKS


@cache
def _factors_by_blocks(family: int) -> NDArray[np.float64]:
    """Half of an interval in standard errors, at 5 % / *family*; the index is the blocks."""
    blocks = np.arange(MOST_BLOCKS + 1)
    return np.asarray(t.ppf(1 - ALPHA / 2 / family, np.maximum(blocks - 1, 1)))


def detectable(log_ratios: Sequence[float]) -> float:
    """The smallest effect, as a share (0.05 is 5 %), that so many blocks with such a spread would
    have found four times in five. Raises ValueError for less than two blocks."""
    _, error = _centre_and_error(log_ratios)
    return math.expm1(_detectable_errors(len(log_ratios) - 1) * error)


@cache
def _detectable_errors(freedom: int) -> float:
    """How many standard errors an effect must be for Student's test to find it with POWER."""
    limit = _students_factor(freedom + 1)

    def missing(shift: float) -> float:
        return float(nct.sf(limit, freedom, shift)) - POWER

    return float(brentq(missing, 0.0, 20 * limit))


def _centre_and_error(log_ratios: Sequence[float]) -> tuple[float, float]:
    """The mean of the log ratios and its standard error."""
    if len(log_ratios) < 2:
        raise ValueError("an interval needs at least two blocks")
    values = np.asarray(log_ratios, dtype=float)
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
