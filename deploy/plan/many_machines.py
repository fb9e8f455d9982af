"""A seeded simulation of requests: machines with cores, and the Redis that they share.

Each request goes to a machine at random, waits there for a core in the order of arrival, then for
Redis, and then as long as the app waits for others. It checks the closed forms, and gives the
percentiles of the sum, for which there is no short form.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence

Draw = Callable[[], float]


def varying(source: random.Random, mean: float, variation: float) -> Draw:
    """Return a function that draws times of *mean*: all equal, exponential, or between (gamma)."""
    if variation == 0 or mean == 0:
        return lambda: mean
    shape = 1 / variation**2
    return lambda: source.gammavariate(shape, mean / shape)


def line(arrivals: Sequence[float], servers: int, draw: Draw) -> list[float]:
    """Return when each of *arrivals*, which are in order, has been served by one of *servers*."""
    free = [0.0] * servers
    ends = []
    for arrival in arrivals:
        end = max(arrival, free[0]) + draw()
        heapq.heapreplace(free, end)
        ends.append(end)
    return ends


def answers(
    *,
    rate: float,
    machines: int,
    cores: int,
    cpu: Callable[[random.Random], Draw],
    redis: Callable[[random.Random], Draw] | None = None,
    wait: float = 0.0,
    requests: int = 60_000,
    seed: int = 1,
) -> list[float]:
    """Return the response times of *requests*, in order, without the first tenth."""
    source = random.Random(seed)  # noqa: S311 - not for secrets
    clock, started = 0.0, []
    for _ in range(requests):
        clock += source.expovariate(rate)
        started.append(clock)
    served: list[tuple[float, int]] = []
    chosen: list[list[int]] = [[] for _ in range(machines)]
    for number in range(requests):
        chosen[source.randrange(machines)].append(number)
    for numbers in chosen:
        ends = line([started[number] for number in numbers], cores, cpu(source))
        served += zip(ends, numbers, strict=True)
    if redis:
        served.sort()
        ends = line([end for end, _ in served], 1, redis(source))
        served = [(end, number) for end, (_, number) in zip(ends, served, strict=True)]
    taken = [(number, end - started[number] + wait) for end, number in served]
    return sorted(time for number, time in taken if number >= requests // 10)


def share_of(times: Sequence[float], share: float) -> float:
    """Return the time within which *share* of the sorted *times* lie."""
    return times[min(len(times) - 1, int(share * len(times)))]
