"""What a number of blocks can find, how many blocks a question takes, and how often it is trusted.

Both use the rules of a verdict (lab.judge.verdict) at the strictest level of Holm's correction,
5 % divided by the comparisons of the family: see lab/tests/test_predictions_come_true.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t

from lab.judge.comparison import Comparison, compare
from lab.judge.estimate import ALPHA, MIN_BLOCKS
from lab.plan.experiment import Experiment
from lab.trial import Trial

# The probability with which a detectable effect is found, and a predicted number of blocks settles
# a comparison.
POWER = 0.8

# More blocks than this call for a quieter machine or a larger margin.
MOST_BLOCKS = 1000

# How often, of 100 times, a correct run should be trusted, and the most blocks to say so.
ENOUGH = 95
MOST_PLANNED = 100

# Up to this number of blocks the sign-flip test misses effects that Student's test finds: with six
# blocks in one case of five.
SIGN_FLIPS_MATTER = 9
DRAWS = 4000
SEED = 20_261_125

Array = NDArray[np.float64]


def detectable(log_ratios: Sequence[float], family: int = 1) -> float:
    """The smallest effect, as a share (0.05 is 5 %), that is found four times in five with this
    number of blocks and this spread. Raises ValueError for fewer than two blocks."""
    values = _checked(log_ratios)
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return math.expm1(_detectable_errors(values.size, family) * error)


def blocks_needed(log_ratios: Sequence[float], margin: float, family: int = 1) -> int:
    """The number of blocks in all with which this comparison is settled four times in five.

    It is settled if the interval fits into the margin or a difference is found. Neither the true
    effect nor the true spread is known, so both are drawn from what the blocks leave possible
    (normal noise, Jeffreys' prior), and the missing blocks from these. At most 1000, and always
    more than there are. Raises ValueError for fewer than two blocks.
    """
    values = _checked(log_ratios)
    n = values.size
    least, most = max(n + 1, MIN_BLOCKS), MOST_BLOCKS
    if least >= most or _settled(values, most, margin, family) < POWER:
        return max(least, most)
    while least < most:
        middle = (least + most) // 2
        if _settled(values, middle, margin, family) >= POWER:
            most = middle
        else:
            least = middle + 1
    return most


def believed(primary: Sequence[Comparison], blocks: int, margin: float) -> float:
    """The probability that a correct run of *blocks* blocks is trusted, by its first blocks.

    *primary*: the comparisons in the primary metric, with two blocks or more each. Their spreads
    are pooled, because three blocks of one arm tell little. The twin is taken to be truly equal,
    and a canary to cost what it has cost so far; what the other arms cost is not looked at.
    """
    random = np.random.default_rng(SEED)
    found = [_checked(one.log_ratios) for one in primary]
    freedom = sum(values.size - 1 for values in found)
    squares = sum(float(np.square(values - values.mean()).sum()) for values in found)
    spread = np.sqrt(squares / random.chisquare(freedom, DRAWS))
    passes = np.ones(DRAWS, dtype=bool)
    for one, values in zip(primary, found, strict=True):
        noise = spread / math.sqrt(blocks) * random.standard_normal(DRAWS)
        error = spread * np.sqrt(random.chisquare(blocks - 1, DRAWS) / (blocks - 1) / blocks)
        if one.role == "twin":
            passes &= np.abs(noise) + _limit(blocks, 1) * error <= math.log1p(margin)
        elif one.role == "canary":
            passes &= abs(float(values.mean())) + noise > _limit(blocks, 1) * error
    return float(np.mean(passes))


def forecast(experiment: Experiment, trials: Sequence[Trial], blocks: int) -> str:
    """Whether *blocks* blocks are enough to be trusted, in a sentence. It does not look at what an
    arm costs, so that nobody can choose the number of blocks by the result."""
    primary = [one for one in compare(experiment, trials) if one.primary and one.n > 1]
    if not primary:
        return "no arm has two good blocks yet"
    times = round(100 * believed(primary, max(blocks, MIN_BLOCKS), experiment.margin))
    text = f"with this noise a correct run of {blocks} blocks is trusted {times} times in 100"
    if times >= ENOUGH:
        return text
    for more in range(blocks + 1, MOST_PLANNED + 1):
        if 100 * believed(primary, more, experiment.margin) >= ENOUGH:
            return f"{text}; {more} blocks make it {ENOUGH}"
    return f"{text}, and {MOST_PLANNED} blocks do not make it {ENOUGH}: use a quieter machine"


def enough_blocks(experiment: Experiment, trials: Sequence[Trial], most: int) -> int:
    """The fewest blocks, from MIN_BLOCKS to *most*, with which a correct run is trusted ENOUGH
    times in 100. As forecast(), it does not look at what an arm costs."""
    primary = [one for one in compare(experiment, trials) if one.primary and one.n > 1]
    for blocks in range(MIN_BLOCKS, most if primary else 0):
        if 100 * believed(primary, blocks, experiment.margin) >= ENOUGH:
            return blocks
    return most


def _settled(values: Array, blocks: int, margin: float, family: int) -> float:
    """The probability that *blocks*, of which *values* are the first, settle the comparison."""
    random = np.random.default_rng(SEED)
    n, more = values.size, blocks - values.size
    mean, squares = float(values.mean()), float(np.square(values - values.mean()).sum())
    spread = np.sqrt(squares / random.chisquare(n - 1, DRAWS))
    effect = mean + spread / math.sqrt(n) * random.standard_normal(DRAWS)
    of_new = effect + spread / math.sqrt(more) * random.standard_normal(DRAWS)
    squares_of_new = np.square(spread) * (random.chisquare(more - 1, DRAWS) if more > 1 else 0.0)
    centre = (n * mean + more * of_new) / blocks
    total = squares + squares_of_new + n * more / blocks * np.square(of_new - mean)
    error = np.sqrt(total / (blocks - 1) / blocks)
    fits = np.abs(centre) + _limit(blocks, 1) * error <= math.log1p(margin)
    differs = np.abs(centre) > _limit(blocks, family) * error
    return float(np.mean(fits | differs))


@cache
def _detectable_errors(n: int, family: int) -> float:
    """The effect, in standard errors of one run, that another run of *n* blocks finds with
    probability POWER. The spread of one run is drawn as well, because it is an estimate."""
    random = np.random.default_rng(SEED)
    limit = _limit(n, family)
    estimated = np.sqrt(random.chisquare(n - 1, DRAWS) / (n - 1) / n)
    exact = MIN_BLOCKS <= n <= SIGN_FLIPS_MATTER
    noise = random.standard_normal((DRAWS, n))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=n if exact else 0))).T
    error = noise.std(axis=1, ddof=1) / math.sqrt(n)

    def power(errors: float) -> float:
        logs = noise + (errors * estimated)[:, None]
        centre = np.abs(logs.mean(axis=1))
        found = centre > limit * error
        if exact:
            p = np.mean(np.abs(logs @ signs) / n >= centre[:, None] - 1e-9, axis=1)
            found &= p <= ALPHA
        return float(np.mean(found))

    return float(brentq(lambda errors: power(errors) - POWER, 0.0, 30 * limit, xtol=0.01))


@cache
def _limit(n: int, family: int) -> float:
    """Half the width of an interval at 5 % / *family* over *n* blocks, in standard errors."""
    return float(t.ppf(1 - ALPHA / 2 / family, n - 1))


def _checked(log_ratios: Sequence[float]) -> Array:
    if len(log_ratios) < 2:
        raise ValueError("a spread needs at least two blocks")
    return np.asarray(log_ratios, dtype=float)
