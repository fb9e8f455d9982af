"""Sliced cost trials: all arms are up, and the load moves between them in slices of 100 requests.

On a machine with noisy neighbours a slice's cost varies by a tenth, but the noise falls on all arms
of a round alike. CPU time is read from each process's own clock, which counts nanoseconds and not
the time that the machine was taken away; the generator's speed does not matter.
"""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from lab.measure import counters

SLICE = 100

# What a server does after its answer (closing, back to waiting) belongs to the slice, too.
SETTLE_S = 0.002


class WrongAnswer(Exception):
    """An arm did not answer what it is compared by, so its cost means nothing."""


class Turn(Protocol):
    """Whatever takes turns."""

    def measure(self) -> None:
        """Run one slice and note what it cost. Raises WrongAnswer."""


@dataclass
class Arm:
    """One thing to be compared: a path of a running stack, as one client with its cookie sees it.

    `services` maps nginx, app and redis to their pids; `costs` collects CPU seconds a request, by
    service, and `wakeups` the app's voluntary context switches a request, a slice an entry.
    """

    name: str
    address: str
    path: str
    expected: bytes
    services: Mapping[str, Sequence[int]]
    cookie: str = ""
    costs: dict[str, list[float]] = field(default_factory=dict)
    wakeups: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        where = urlsplit(self.address)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        self._headers = {"Cookie": self.cookie} if self.cookie else {}
        self.costs = {service: [] for service in self.services}

    def run(self, requests: int) -> None:
        """Send *requests*, one after the other. Raises WrongAnswer at the first wrong one."""
        for _ in range(requests):
            self._connection.request("GET", self.path, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
            if answer.status != 200 or self.expected not in body:
                raise WrongAnswer(f"{self.name}: {answer.status} {body[:80]!r}")

    def measure(self) -> None:
        """Run one slice and note what it cost each service."""
        before = counters.read(self.services)
        self.run(SLICE)
        time.sleep(SETTLE_S)
        used = counters.used(before, counters.read(self.services))
        if used.lost:
            raise WrongAnswer(f"{self.name}: processes {used.lost} ended under the load")
        for service, ns in used.cpu_ns.items():
            self.costs[service].append(ns / SLICE / 1e9)
        self.wakeups.append(used.voluntary["app"] / SLICE)

    def total(self) -> list[float]:
        """CPU seconds a request of the whole stack, a slice an entry."""
        return [sum(parts) for parts in zip(*self.costs.values(), strict=True)]

    def close(self) -> None:
        self._connection.close()


def rotate(
    arms: Sequence[Turn], rounds: int, order: random.Random, progress: Callable[[int], None]
) -> None:
    """Measure every arm once a round, in an order shuffled anew each time."""
    for number in range(rounds):
        for arm in order.sample(arms, len(arms)):
            arm.measure()
        progress(number + 1)
