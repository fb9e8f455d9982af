"""The plan of one load: load.py writes it as a JSON file, generator.py reads it.

The two schedules are functions of a seed: the arrivals of the open loop, and the order in which a
rotation visits the arms.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab.trial import LEAD

PLAN_FILE, RESULT_FILE, LOG_FILE = "load-plan.json", "load-result.json", "locust.log"
# Slices of each arm before a rotation is measured. They open the connections, fill caches and give
# every worker its first requests.
WARM_UP_SLICES = 2
# Environment variables of the generator: its plan file, and the process whose end also ends it. By
# hand there is no such process: an old plan can be loaded again on Locust's page.
PLAN_VARIABLE, PARENT_VARIABLE = "LAB_LOAD_PLAN", "LAB_LOAD_PARENT"
# Ends the arrivals early.
FINISH_SIGNAL = signal.SIGUSR1
# The prefix of the generator's progress lines (Locust and its plugins may write others), and the
# line after the warm-up.
MARK, MEASURING = "lab: ", "measuring"


@dataclass(frozen=True)
class Target:
    """An arm as the generator sees it.

    address: base URL, http only. cookie: value of the Cookie header, "" for none. expect: a
    substring of every correct body; None: every body equals the first one. pids: service → the
    processes whose counters are read.
    """

    name: str
    address: str
    path: str
    cookie: str = ""
    expect: str | None = None
    pids: Mapping[str, Sequence[int]] = field(default_factory=dict)
    # Instead of GETs of `path`: requests (see lab.plan.traffic.Request.to_plan), their order as
    # indexes, what is removed from bodies before they are compared, and a session for each user.
    requests: Sequence[Mapping[str, Any]] = ()
    order: Sequence[int] = ()
    masks: Sequence[str] = ()
    sessions: Sequence[Mapping[str, str]] = ()  # "cookie" and "csrf" of each


@dataclass(frozen=True)
class Plan:
    """One load. Fields that its kind does not use keep their defaults.

    users: connections to every arm; in the open loop, the limit of requests in flight. rounds,
    slice: of a rotation, a slice in requests. rate: arrivals per second. seconds, requests: the end
    of the measured part, one of them. warm_s: seconds of load before it (a rotation warms up by
    slices). patience_s: after this time a request counts as unanswered. nice: priority of the
    generator; below 0 only where the system allows it.
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
    moments: Sequence[float] = ()  # open loop: the arrivals, instead of those of `rate`

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields["targets"] = [Target(**target) for target in fields["targets"]]
        return cls(**fields)


def lead(plan: Plan) -> int:
    """The requests before each slice of a rotation, one per user at least."""
    return max(plan.users, round(LEAD * plan.slice))


def arrivals(rate: float, seconds: float, seed: int | str) -> list[float]:
    """Return the arrivals of a Poisson process, in seconds from the start.

    The gaps are exponential with mean 1/*rate*, as those of independent clients, bursts included.
    Equal arguments give equal arrivals: every arm of a block gets the same bursts.
    """
    gaps = random.Random(seed)  # noqa: S311 - a schedule is no secret
    moments = []
    moment = gaps.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += gaps.expovariate(rate)
    return moments


def orders(arms: int, rounds: int, seed: int | str) -> Iterator[list[int]]:
    """Yield for each round the numbers 0 to *arms* - 1 in random order."""
    order = random.Random(seed)  # noqa: S311 - a schedule is no secret
    for _ in range(rounds):
        yield order.sample(range(arms), arms)
