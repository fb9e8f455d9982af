"""`make plan CHECK=1`: predicts what this machine does from what requests cost, and measures it.

A stack of its own runs for about a minute, in rounds of three loads: one client, random arrivals at
half of what the machine serves, and clients that ask again at once. Every other round gives the
figures: the CPU time of each part under each load, and what one client waits beyond it. They go
into a simulation of this machine (deploy/plan/one_machine.py), whose throughput and response times
are compared with those of the other rounds.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.plan import figures, load, many_machines, one_machine
from stack.local.runtime import LocalRuntime

ROUNDS, MOST_ROUNDS = 12, 40
# In each round, seconds under each load. Short turns, so that noise falls on all alike.
LIGHT_SECONDS, HALF_SECONDS, FULL_SECONDS = 1.0, 2.0, 1.0
HALF_CLIENTS, FULL_CLIENTS = 32, 8
# How far a measurement may be from its prediction, as a factor up or down.
STATED_ERROR = {"saturation": 1.25, "p50": 1.4, "p99": 2.0}
# A round in which other programs use more of the cores is left out. Where ours take precedence
# (`chrt --rr 1 make plan CHECK=1`) others have the rest only, and no round is.
MOST_OTHERS = 0.1
PRECEDENCE = (os.SCHED_RR, os.SCHED_FIFO)
EXIT_DISAGREE, EXIT_BUSY = 1, 3
NGINX_WORKERS = 2  # nginx/nginx.conf
THREADS = 2
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """CPU seconds: of each service, of this process, and of all other programs and the host."""

    services: Mapping[str, float]
    generator: float
    everything: float

    def since(self, before: Used) -> Used:
        """Return what was used after *before*."""
        services = {name: it - before.services[name] for name, it in self.services.items()}
        return Used(
            services, self.generator - before.generator, self.everything - before.everything
        )

    @property
    def parts(self) -> dict[str, float]:
        return {**self.services, "generator": self.generator}

    @property
    def others(self) -> float:
        if others_use_the_rest_only():
            return 0.0
        return max(0.0, self.everything - sum(self.parts.values()))


@dataclass(frozen=True)
class Turn:
    """The response times of *seconds* under one load, and the CPU time meanwhile."""

    times: list[float]
    seconds: float
    used: Used


Round = tuple[Turn, Turn, Turn]
LOADS = ("one client", "half load", "full load")


class Phase:
    """What was seen under one load, in all its *turns*."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.times = sorted(it for turn in turns for it in turn.times)
        seconds = sum(turn.seconds for turn in turns)
        self.rate = len(self.times) / seconds
        # CPU seconds a request, by part.
        self.costs = {
            part: sum(turn.used.parts[part] for turn in turns) / len(self.times)
            for part in turns[0].used.parts
        }
        # Cores that other programs and the host took from ours.
        self.others_busy = sum(turn.used.others for turn in turns) / seconds


@dataclass(frozen=True)
class Row:
    """One comparison of a prediction with its measurement, both in *unit*."""

    name: str
    unit: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """The stated error, as a factor."""
        return STATED_ERROR[self.name]

    @property
    def agrees(self) -> bool:
        return 1 / self.error <= self.measured / self.predicted <= self.error


def check(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Measure this machine and print it beside the prediction.

    Returns 1 if they do not agree, and 3 if other programs were busy in too many rounds.
    """
    seed = int(figures.read(environ)["SEED"])
    cores = len(os.sched_getaffinity(0))
    processes = max(2, cores)
    if not as_json:
        a_round = LIGHT_SECONDS + HALF_SECONDS + FULL_SECONDS
        print(
            f"Measuring this machine ({cores} cores) for {ROUNDS * a_round:.0f} s,"
            f" up to {MOST_ROUNDS * a_round:.0f} s if it is busy",
            flush=True,
        )
    found = _measured(processes, cores, seed)
    places = {"generator": 1, "nginx": NGINX_WORKERS, "app": processes, "redis": 1}
    places["threads"] = processes * THREADS
    rows = compare(found.rounds, rate=found.rate, cores=cores, places=places, seed=seed)
    agree = all(row.agrees for row in rows)
    phases = dict(zip(LOADS, phases_of(found.rounds), strict=True))
    costs = {
        kind: {part: 1e6 * it for part, it in phase.costs.items()} for kind, phase in phases.items()
    }
    if as_json:
        result = {
            "rows": [{**asdict(row), "error": row.error, "agrees": row.agrees} for row in rows],
            "agree": agree,
            "rate": found.rate,
            "cpu_us": costs,
            "rounds": found.made,
            "quiet_rounds": found.quiet,
        }
        print(json.dumps(result))
    else:
        print("\n".join(_lines(rows, costs, found)))
    if found.quiet < ROUNDS:
        return EXIT_BUSY
    return 0 if agree else EXIT_DISAGREE


@dataclass(frozen=True)
class _Found:
    """*rounds* are the *quiet* ones of those *made*, or all if those are too few.

    Half load is *rate* requests a second.
    """

    rounds: Sequence[Round]
    rate: float
    made: int
    quiet: int


def _measured(processes: int, cores: int, seed: int) -> _Found:
    """Load a stack in rounds."""
    settings = {"STACK_PORT": "0", "STACK_WORKLOAD": "on", "STACK_DEMO": "on"}
    settings["STACK_NAME"] = f"plan-{secrets.token_hex(4)}"
    settings |= {"STACK_PROCESSES": str(processes), "STACK_THREADS": str(THREADS)}
    with LocalRuntime(settings) as stack:
        address = stack.address().rstrip("/")
        cookie = load.cookie_of_demo_account(address)
        pids = stack.main_pids()

        def turn(under: Callable[[], list[float]]) -> Turn:
            before, begun = used(pids), time.monotonic()
            times = under()
            return Turn(times, time.monotonic() - begun, used(pids).since(before))

        def closed(clients: int, seconds: float) -> list[float]:
            return load.closed(address, cookie, clients, seconds)

        # Every worker has served some, and then the speed is known roughly.
        closed(FULL_CLIENTS, FULL_SECONDS)
        rate = len(closed(FULL_CLIENTS, HALF_SECONDS)) / HALF_SECONDS / 2
        rounds: list[Round] = []
        quiet: list[Round] = []
        while len(quiet) < ROUNDS and len(rounds) < MOST_ROUNDS:
            arrivals = load.moments(rate, HALF_SECONDS, seed * MOST_ROUNDS + len(rounds))
            turns = (
                turn(lambda: closed(1, LIGHT_SECONDS)),
                turn(lambda: load.scheduled(address, cookie, HALF_CLIENTS, arrivals)),  # noqa: B023
                turn(lambda: closed(FULL_CLIENTS, FULL_SECONDS)),
            )
            rounds.append(turns)
            if is_quiet(turns, cores):
                quiet.append(turns)
    enough = len(quiet) == ROUNDS
    return _Found(quiet if enough else rounds, rate, len(rounds), len(quiet))


def is_quiet(turns: Sequence[Turn], cores: int) -> bool:
    """Whether other programs left the cores to us in a round."""
    seconds = sum(it.seconds for it in turns)
    return sum(it.used.others for it in turns) <= MOST_OTHERS * cores * seconds


def others_use_the_rest_only() -> bool:
    """Whether this process and the stack that it starts take precedence."""
    return os.sched_getscheduler(0) in PRECEDENCE


def phases_of(rounds: Sequence[Round]) -> tuple[Phase, Phase, Phase]:
    """Return what one client, half load and full load saw."""
    light, half, full = zip(*rounds, strict=True)
    return Phase(light), Phase(half), Phase(full)


def compare(
    rounds: Sequence[Round], *, rate: float, cores: int, places: Mapping[str, int], seed: int
) -> list[Row]:
    """Predict the second, fourth … of *rounds* from the others; return both beside each other."""
    light, half, full = phases_of(rounds[::2])
    _, then_half, then_full = phases_of(rounds[1::2])

    def simulated(phase: Phase, *, at: float = 0.0, clients: int = 0) -> tuple[list[float], float]:
        machine = one_machine.Machine(cores, places, min(phase.others_busy, 0.9 * cores))
        steps = one_machine.route(phase.costs)
        return one_machine.answers(machine, steps, rate=at, clients=clients, seed=seed)

    waits = _beyond(simulated(light, clients=1)[0], light.times)
    source = random.Random(seed)  # noqa: S311 - not for secrets
    predicted = sorted(it + source.choice(waits) for it in simulated(half, at=rate)[0])
    saturation = simulated(full, clients=FULL_CLIENTS)[1]
    return [
        Row("saturation", "/s", saturation, then_full.rate),
        *(
            Row(
                name,
                "ms",
                1000 * many_machines.share_of(predicted, share),
                1000 * many_machines.share_of(then_half.times, share),
            )
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
    ]


def _beyond(simulated: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Return what answers take beyond the simulation, rank by rank; both are sorted.

    It is wake-ups and interruptions. It is negative where a part works on after its answer.
    """
    shares = [number / 1000 for number in range(1000)]
    return [
        many_machines.share_of(measured, it) - many_machines.share_of(simulated, it)
        for it in shares
    ]


def _lines(
    rows: list[Row], costs_us: Mapping[str, Mapping[str, float]], found: _Found
) -> Iterator[str]:
    yield f"{found.quiet} of {found.made} rounds were quiet. CPU time a request, µs:"
    for kind, costs in costs_us.items():
        parts = ", ".join(f"{name} {it:.0f}" for name, it in costs.items())
        yield f"  {kind:<12}{parts}; {sum(costs.values()):,.0f} in all"
    yield ""
    yield f"{'':<12}{'predicted':>12}{'measured':>12}{'ratio':>8}   agrees within"
    for row in rows:
        yield (
            f"{row.name:<12}{row.predicted:>10.4g}{row.unit:<2}{row.measured:>10.4g}{row.unit:<2}"
            f"{row.measured / row.predicted:>8.2f}   {'yes' if row.agrees else 'NO':<4}"
            f"a factor of {row.error:g}"
        )
    yield ""
    yield f"p50 and p99 are those of random arrivals, {found.rate:,.0f} requests/s."
    if found.quiet < ROUNDS:
        yield "Other programs were busy in too many rounds, which the stated error leaves out:"
        yield "run it again while the machine does nothing else, or `chrt --rr 1 make plan"
        yield "CHECK=1`, with which the stack takes precedence for a minute."


def used(pids: Mapping[str, int]) -> Used:
    """Return the CPU seconds so far. A service is the process of *pids* with all below it."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    everything = (user + nice + system + irq + softirq + steal) / TICKS
    services = {name: _tree(pid) / TICKS for name, pid in pids.items()}
    return Used(services, time.process_time(), everything)


def _tree(pid: int) -> int:
    """Return the ticks of *pid*, of its descendants, and of those that it has waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return sum(map(int, stat[11:15])) + sum(_tree(int(child)) for child in below)
