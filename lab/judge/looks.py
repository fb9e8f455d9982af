"""BLOCKS=auto: a run that stops when it knows, with intervals that are valid at every look.

Somebody who looks after each block and stops at the first interval that excludes 1 finds a
difference between equal arms in one run of five. So all intervals of such a run are wider: the same
share of their Student's distribution is left out at every look (Pocock 1977), chosen so that all of
them contain the truth in 95 of 100 runs. That share does not depend on the noise, because the
looks' t values do not; it is computed here by simulation, with normal noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.stats import t

from lab.judge.comparison import Comparison
from lab.judge.estimate import ALPHA

# With fewer blocks the sign-flip test cannot reach the share of one look.
FIRST_LOOK = 8
MOST_BLOCKS = 24

DRAWS = 40_000
SEED = 20_261_126


@cache
def looks() -> float:
    """The number of comparisons that all looks together count for in an interval: its error is
    ALPHA divided by it."""
    noise = np.random.default_rng(SEED).standard_normal((DRAWS, MOST_BLOCKS))
    smallest = np.ones(DRAWS)
    for n in range(FIRST_LOOK, MOST_BLOCKS + 1):
        seen = noise[:, :n]
        values = np.abs(seen.mean(axis=1)) / (seen.std(axis=1, ddof=1) / np.sqrt(n))
        smallest = np.minimum(smallest, 2 * t.sf(values, n - 1))
    return float(ALPHA / np.quantile(smallest, ALPHA))


def knows(comparisons: Sequence[Comparison]) -> bool:
    """Whether every comparison in the primary metric is settled: the arms', the twin and the
    canaries, however they came out."""
    primary = [one for one in comparisons if one.primary]
    settled = ("faster", "slower", "equivalent", "overloaded")
    return bool(primary) and all(one.verdict in settled for one in primary)
