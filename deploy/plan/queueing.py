"""Closed forms of waiting lines. Rates are per second, times in seconds.

M/M/c: arrivals at random, exponential service times, c servers, one line. The formulas are those
of Gross, Shortle, Thompson and Harris, Fundamentals of Queueing Theory, chapter 3 (fourth edition);
a Markov chain in deploy/tests/test_waiting_lines_follow_the_theory.py derives the same numbers.
"""

from __future__ import annotations

import math


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that an arrival waits; *load* is the rate times the service time.

    1 if *load* reaches *servers*. By the recursion of Erlang B, which no number of servers
    overflows.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, rate: float, service: float, variation: float = 1.0) -> float:
    """Return the mean time in the line; infinite from saturation on.

    *variation* is the standard deviation of the service time ÷ its mean. Exact for 1 (M/M/c) and
    with one server (Pollaczek and Khinchine), else the approximation of Allen and Cunneen.
    """
    load = rate * service
    if load >= servers:
        return math.inf
    return erlang_c(servers, load) * service / (servers - load) * (1 + variation**2) / 2


def exceeds(servers: int, rate: float, service: float, seconds: float) -> float:
    """Return the probability that an M/M/c answer takes longer than *seconds*."""
    load, steps = rate * service, seconds / service
    if load >= servers:
        return 1.0
    waits, drain = erlang_c(servers, load), servers - load
    if math.isclose(drain, 1.0, rel_tol=1e-9):
        return math.exp(-steps) * (1 + waits * steps)
    return math.exp(-steps) * (1 + waits * (1 - math.exp(-(drain - 1) * steps)) / (drain - 1))


def percentile(servers: int, rate: float, service: float, share: float) -> float:
    """Return the time within which *share* of the M/M/c answers come."""
    if rate * service >= servers:
        return math.inf
    low, high = 0.0, service
    while exceeds(servers, rate, service, high) > 1 - share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        late = exceeds(servers, rate, service, middle) > 1 - share
        low, high = (middle, high) if late else (low, middle)
    return high


def servers_for(load: float, waiting: float) -> int:
    """Return the smallest number of servers with which at most *waiting* of the arrivals wait."""
    blocked, servers = 1.0, 0
    while True:
        servers += 1
        blocked = load * blocked / (servers + load * blocked)
        waits = blocked / (1 - load / servers * (1 - blocked))
        if servers > load and waits <= waiting:
            return servers
