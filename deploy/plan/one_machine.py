"""A seeded simulation of one machine: generator, nginx, app and Redis share its cores.

A request goes from part to part and uses CPU time in each. A part works on a few requests at a
time: a process of Python on one, because of the interpreter's lock (GIL), and so does Redis. The
parts that work share the cores evenly, as Linux does it, with whatever else runs on the machine.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# CPU time at a stretch of other programs; how often they run follows from what they use.
BURST_S = 0.01


@dataclass(frozen=True)
class Step:
    """CPU time in a *part*; or, with *cpu_s* None, taking one of its places (or giving it back)."""

    part: str
    cpu_s: float | None = None
    gives: bool = False


@dataclass(frozen=True)
class Machine:
    """*places* is how many requests a part works on at a time; *others_busy* is in cores."""

    cores: int
    places: Mapping[str, int]
    others_busy: float = 0.0


def route(cpu_s: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the steps of a request that uses *cpu_s* of each part.

    One thread of the app has it from nginx's request to the answer, and Redis' part lies between.
    """
    half = {part: it / 2 for part, it in cpu_s.items()}
    return (
        Step("generator", half["generator"]),
        Step("nginx", half["nginx"]),
        Step("threads"),
        Step("app", half["app"]),
        Step("redis", cpu_s["redis"]),
        Step("app", half["app"]),
        Step("threads", gives=True),
        Step("nginx", half["nginx"]),
        Step("generator", half["generator"]),
    )


@dataclass(eq=False)
class _Job:
    begun: float
    steps: Iterator[Step]
    at: str = ""  # the part that it works in


@dataclass
class _Run:
    machine: Machine
    now: float = 0.0
    # All that run progress alike, so one clock of CPU time serves them all.
    clock: float = 0.0
    running: list[tuple[float, int, _Job]] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    lines: dict[str, deque[tuple[_Job, Step]]] = field(default_factory=dict)
    number: int = 0  # of steps begun: those that end together end in this order

    def speed(self) -> float:
        return min(1.0, self.machine.cores / max(1, len(self.running)))

    def ends(self) -> float:
        """When the next step ends if nothing else happens."""
        if not self.running:
            return math.inf
        return self.now + max(0.0, self.running[0][0] - self.clock) / self.speed()

    def move(self, to: float) -> None:
        self.clock += (to - self.now) * self.speed()
        self.now = to

    def work(self, job: _Job, seconds: float) -> None:
        self.number += 1
        heapq.heappush(self.running, (self.clock + seconds, self.number, job))

    def go_on(self, job: _Job) -> bool:
        """Take *job* through its steps as far as it gets now; return whether it is answered."""
        for step in job.steps:
            if step.gives:
                self.leave(step.part)
            elif self.busy.get(step.part, 0) >= self.machine.places[step.part]:
                self.lines.setdefault(step.part, deque()).append((job, step))
                return False
            else:
                self.busy[step.part] = self.busy.get(step.part, 0) + 1
                if self.enter(job, step):
                    return False
        return True

    def enter(self, job: _Job, step: Step) -> bool:
        """Let *job*, which has a place, begin *step*; return whether that takes time."""
        if step.cpu_s is None:
            return False
        job.at = step.part
        self.work(job, step.cpu_s)
        return True

    def leave(self, part: str) -> None:
        """Give a place of *part* to the next in its line."""
        if self.lines.get(part):
            job, step = self.lines[part].popleft()
            if not self.enter(job, step):
                self.go_on(job)
        else:
            self.busy[part] -= 1


def answers(
    machine: Machine,
    steps: Sequence[Step],
    *,
    rate: float = 0.0,
    clients: int = 0,
    requests: int = 12_000,
    seed: int = 1,
) -> tuple[list[float], float]:
    """Return the sorted response times and the answers a second, without the first tenth.

    Requests come at random moments, *rate* a second; or from *clients*, of which each asks again at
    once.
    """
    source = random.Random(seed)  # noqa: S311 - not for secrets
    run = _Run(machine)
    taken: list[float] = []
    ended: list[float] = []
    arrivals = _moments(source, rate)
    others = _moments(source, machine.others_busy / BURST_S)
    arrival, other = next(arrivals), next(others)

    def begin() -> None:
        run.go_on(_Job(run.now, iter(steps)))

    for _ in range(clients):
        begin()
    while len(taken) < requests:
        ends = run.ends()
        run.move(min(ends, arrival, other))
        if run.now == arrival:
            arrival = next(arrivals)
            begin()
        elif run.now == other:
            other = next(others)
            run.work(_Job(run.now, iter(())), source.expovariate(1 / BURST_S))
        else:
            _, _, job = heapq.heappop(run.running)
            if not job.at:
                continue
            run.leave(job.at)
            if run.go_on(job):
                taken.append(run.now - job.begun)
                ended.append(run.now)
                if clients:
                    begin()
    first = requests // 10
    return sorted(taken[first:]), (requests - first) / (ended[-1] - ended[first - 1])


def _moments(source: random.Random, rate: float) -> Iterator[float]:
    at = 0.0
    while rate:
        at += source.expovariate(rate)
        yield at
    while True:
        yield math.inf
