"""What the generator is asked to do: written by load.py, read by generator.py as a JSON file.

It also holds the two schedules, as plain functions of a seed: when requests of the open loop
arrive, and in which order a rotation visits the arms.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

PLAN_FILE, RESULT_FILE, LOG_FILE = "load-plan.json", "load-result.json", "locust.log"
# Of a rotation, for every arm: enough for its connections, its caches and its workers' first times.
WARM_UP_SLICES = 2
# Environment variables of the generator: its plan file, and the process that it ends with (by hand
# there is none: a plan of an old run can be loaded again on Locust's page).
PLAN_VARIABLE, PARENT_VARIABLE = "LAB_LOAD_PLAN", "LAB_LOAD_PARENT"
# Sent to the generator, it ends the arrivals early.
FINISH_SIGNAL = signal.SIGUSR1
# How the generator's lines of progress begin (Locust and its plugins may write others), and the one
# that says that the warm-up is over.
MARK, MEASURING = "lab: ", "measuring"


@dataclass(frozen=True)
class Target:
    """An arm as the load sees it.

    address: base URL, http only. cookie: the Cookie header's value, "" for none. expect: what a
    right answer contains; None: it is the arm's first answer, byte for byte. pids: service → its
    processes, whose counters are read; empty for none.
    """

    name: str
    address: str
    path: str
    cookie: str = ""
    expect: str | None = None
    pids: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One load. Fields that its kind has no use for keep their defaults.

    users: connections to every arm; in the open loop, the most requests that may be in flight.
    rounds, slice: of the rotation, a slice in requests. rate: arrivals a second. seconds, requests:
    the measured part's end, one of them. warm_s: seconds of load before it (a rotation warms up by
    slices). patience_s: how long a server may keep a request waiting before it counts as
    unanswered. nice: priority of the generator, below 0 only where the system allows.
    """

    kind: Literal["rotation", "open", "closed"]
    targets: list[Target]
    users: int
    seed: int | str
    rounds: int = 0
    slice: int = 0
    rate: float = 0.0
    seconds: float | None = None
    requests: int | None = None
    warm_s: float = 0.0
    patience_s: float = 10.0
    nice: int = 0

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields["targets"] = [Target(**target) for target in fields["targets"]]
        return cls(**fields)


def arrivals(rate: float, seconds: float, seed: int | str) -> list[float]:
    """Return the moments, in seconds from the start, at which requests arrive: a Poisson process.

    The gaps are exponential with mean 1/*rate*, so clients that know nothing of each other are
    imitated, bursts included. Equal arguments give equal moments: every arm of a block gets the
    same bursts.
    """
    gaps = random.Random(seed)  # noqa: S311 - a schedule is no secret
    moments = []
    moment = gaps.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += gaps.expovariate(rate)
    return moments


def orders(arms: int, rounds: int, seed: int | str) -> Iterator[list[int]]:
    """Yield for each round the numbers 0 to *arms* - 1 in an order of its own, drawn by *seed*."""
    order = random.Random(seed)  # noqa: S311 - a schedule is no secret
    for _ in range(rounds):
        yield order.sample(range(arms), arms)
