"""From costs measured in turns to one ratio with its interval.

Two levels are kept apart. Within a block (one fresh start of everything) the arms take turns in
short slices; a slice's neighbours share its noise, so the ratio is taken slice against slice of the
same round and averaged as a logarithm. Starts differ too (memory layout, which core), and repeating
slices cannot average that out: the interval is over blocks. See Kalibera & Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t, trim_mean

CONFIDENCE = 0.95

# A slice in which the machine did something else for a moment costs several times the others. The
# same share is cut at both ends, whichever arm it is.
TRIM = 0.1


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
    return float(trim_mean([math.log(a / b) for a, b in zip(costs, baseline, strict=True)], TRIM))


def over_blocks(log_ratios: Sequence[float]) -> Ratio:
    """The ratio over all blocks, with Student's interval on the logarithms.

    Raises ValueError for less than two blocks: one start says nothing about starts.
    """
    n = len(log_ratios)
    if n < 2:
        raise ValueError("an interval needs at least two blocks")
    centre = fmean(log_ratios)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(log_ratios) / math.sqrt(n)
    return Ratio(math.exp(centre), math.exp(centre - half), math.exp(centre + half), n)
