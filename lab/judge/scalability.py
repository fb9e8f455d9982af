"""How throughput grows with the number of users: the universal scalability law.

    X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))

lambda is what one user gets, sigma the share that has to queue for something (contention), kappa
what users cost each other (coherency: caches, locks handed around). With kappa > 0 throughput has a
peak at N* = sqrt((1 - sigma) / kappa), beyond which more users get less in all. Gunther, "Guerrilla
Capacity Planning", 2007, chapter 4.

Three parameters from a handful of points are easily overread, so each comes with an interval, and
the peak is named only where the interval of kappa leaves 0 out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import norm, t

from lab.judge.estimate import ALPHA, MIN_BLOCKS, SEED

# With fewer, three parameters follow the noise.
MIN_POINTS = 6

RESAMPLES = 400


@dataclass(frozen=True)
class Parameter:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Fit:
    """users: the distinct N, ascending; rps: the geometric mean over blocks at each. peak_users:
    N*, None where the data do not show one, and then *why* says so."""

    users: tuple[int, ...]
    rps: tuple[float, ...]
    n: int  # blocks
    one_user: Parameter  # lambda, requests/s
    contention: Parameter  # sigma
    coherency: Parameter  # kappa
    peak_users: float | None
    peak_rps: float | None
    why: str

    def to_json(self) -> dict[str, Any]:
        """For verdict.json: parameters as [value, low, high]."""

        def three(parameter: Parameter) -> list[float]:
            return [parameter.value, parameter.low, parameter.high]

        return {
            "users": list(self.users),
            "rps": list(self.rps),
            "n": self.n,
            "lambda": three(self.one_user),
            "sigma": three(self.contention),
            "kappa": three(self.coherency),
            "peak_users": self.peak_users,
            "peak_rps": self.peak_rps,
            "why": self.why,
        }


def throughput(
    users: NDArray[np.float64] | float, one_user: float, contention: float, coherency: float
) -> Any:
    """X(N) in requests/s: a number for a number, an array for an array."""
    return one_user * users / (1 + contention * (users - 1) + coherency * users * (users - 1))


def fit(rps: Mapping[int, Sequence[float]]) -> Fit:
    """Fit the law to *rps*: for each number of users the requests/s of every block, in one order.

    The intervals are bootstrapped over blocks (a block is drawn with all its points), and widened
    as a percentile interval of so few must be (Hesterberg 2015, "What teachers should know about
    the bootstrap", section 3.3). Raises ValueError for less than 6 numbers of users or 6 blocks,
    for blocks that are not complete, for a rate that is not positive, and where nothing fits.
    """
    users = np.array(sorted(rps), dtype=float)
    if users.size < MIN_POINTS:
        raise ValueError(
            f"{users.size} numbers of users: three parameters need at least {MIN_POINTS}"
        )
    n = len(rps[int(users[0])])
    if any(len(values) != n for values in rps.values()):
        raise ValueError("every block needs a rate at every number of users")
    if n < MIN_BLOCKS:
        raise ValueError(f"{n} blocks: an interval needs at least {MIN_BLOCKS}")
    rates = np.array([rps[int(number)] for number in users]).T  # blocks times users
    if not (rates > 0).all():
        raise ValueError("a rate that is not positive was not measured")
    logs = np.log(rates)

    best = _parameters(users, np.exp(logs.mean(axis=0)))
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(RESAMPLES):
        again = np.exp(logs[random.integers(0, n, n)].mean(axis=0))
        drawn.append(_parameters(users, again, best))
    tail = float(norm.cdf(math.sqrt(n / (n - 1)) * float(t.ppf(ALPHA / 2, n - 1))))
    low, high = np.quantile(np.array(drawn), (tail, 1 - tail), axis=0)
    one_user, contention, coherency = (
        Parameter(float(value), float(lowest), float(highest))
        for value, lowest, highest in zip(best, low, high, strict=True)
    )
    peak_users, why = _peak(contention, coherency, float(users[-1]))
    return Fit(
        users=tuple(int(number) for number in users),
        rps=tuple(float(rate) for rate in np.exp(logs.mean(axis=0))),
        n=n,
        one_user=one_user,
        contention=contention,
        coherency=coherency,
        peak_users=peak_users,
        peak_rps=None if peak_users is None else float(throughput(peak_users, *best)),
        why=why,
    )


def _peak(contention: Parameter, coherency: Parameter, most: float) -> tuple[float | None, str]:
    if contention.high < 0:
        # Users who mostly wait do not meet, until slots or cores are used up all at once. The law
        # bends gently and makes up for it by a negative share of work that queues.
        return None, (
            f"the law does not describe this: sigma is {contention}, and a share cannot be below "
            "0; throughput follows the users and then stops at a limit (slots or cores)"
        )
    if coherency.low <= 0:
        return None, (
            f"no peak can be told: kappa is {coherency}, which may be 0; up to {most:.0f} users "
            "throughput may just level off"
        )
    if contention.value >= 1:
        return None, f"no peak: sigma is {contention}, so a second user gains nothing already"
    peak = math.sqrt((1 - contention.value) / coherency.value)
    if peak > most:
        return (
            peak,
            f"beyond the {most:.0f} users that were tried: extrapolated, not measured",
        )
    return peak, ""


def _parameters(
    users: NDArray[np.float64],
    rates: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """lambda, sigma and kappa by least squares on relative errors: noise is a share of the rate."""
    if start is None:
        # N / X is linear in 1/lambda, sigma/lambda and kappa/lambda: exact without noise, so a
        # good place to begin.
        terms = np.stack([np.ones_like(users), users - 1, users * (users - 1)], axis=1)
        weights = rates / users
        line, *_ = np.linalg.lstsq(terms * weights[:, None], np.ones_like(users), rcond=None)
        start = np.array([1 / line[0], line[1] / line[0], line[2] / line[0]])
    try:
        found, _ = curve_fit(throughput, users, rates, p0=start, sigma=rates, maxfev=5000)
    except RuntimeError as error:
        raise ValueError(f"the law does not fit these rates: {error}") from error
    return np.asarray(found)
