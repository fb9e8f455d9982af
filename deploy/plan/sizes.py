"""From a demand to machines, workers and Redis servers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from deploy.plan import many_machines, queueing
from deploy.plan.figures import number
from stack.errors import StackError
from toggles import TOGGLES, Whole

# At most one request in a hundred finds all threads taken.
WAITING_FOR_A_THREAD = 0.01
THINK_SECONDS = 10.0
MOST_RPS = 10_000_000.0
MB = 1e6


@dataclass(frozen=True)
class Demand:
    """What has to be served: requests a second, users with a session, the app's own time."""

    rps: float
    users: float
    app_cpu_s: float
    app_wait_s: float


@dataclass(frozen=True)
class Limit:
    """A part that is full at *rps* requests a second of the whole plan."""

    part: str
    rps: float


@dataclass(frozen=True)
class Plan:
    """The answer. A stack is machines with nginx and app, and one Redis on a machine of its own."""

    demand: Demand
    stacks: int
    machines: int  # of a stack, without Redis' and without the spare ones
    spare: int
    cores: int
    processes: int  # of a machine
    threads: int  # of a process
    app_mb: float  # of a machine
    redis_busy: float  # share of its one core
    redis_ops: float  # commands a second of one Redis
    redis_mb: float  # of one Redis
    rps_of_a_machine: float  # with its cores as busy as planned
    rps_of_a_redis: float
    limits: tuple[Limit, ...]  # the first one is the bottleneck
    mean_s: float
    p50_s: float
    p99_s: float
    simulated_mean_s: float

    @property
    def all_machines(self) -> int:
        """Every machine: the stacks', their spare ones, and one for each Redis."""
        return self.stacks * (self.machines + self.spare + 1)


def demand(environ: Mapping[str, str]) -> Demand:
    """Return what RPS, USERS, THINK, APP_MS and APP_WAIT_MS ask for. Raises StackError."""
    rps = number(environ, "RPS", 0.1, MOST_RPS)
    users = number(environ, "USERS", 1, 1e10, whole=True)
    think = number(environ, "THINK", 0.001, 86_400)
    if rps is None:
        if users is None or think is None:
            raise StackError(
                "RPS is missing", "make plan RPS=500, or USERS=5000 THINK=10 (seconds a page)"
            )
        rps = users / think
    if users is not None and think is not None and rps * think > users * 1.001:
        raise StackError(
            f"{users:,.0f} users with a request every {think:g} s make {users / think:,.1f}"
            f" requests a second, and RPS={rps:g}",
            "leave one of USERS, THINK and RPS out",
        )
    if users is None:
        users = max(1.0, rps * (think or THINK_SECONDS))
    return Demand(
        rps,
        users,
        (number(environ, "APP_MS", 0, 60_000) or 0.0) / 1000,
        (number(environ, "APP_WAIT_MS", 0, 60_000) or 0.0) / 1000,
    )


def size(asked: Demand, figures: Mapping[str, float]) -> Plan:
    """Return the smallest plan for *asked*. Raises StackError if a machine cannot be set so."""
    busy, cores = figures["BUSY"], int(figures["CORES"])
    app_s = figures["STACK_US"] / 1e6 + asked.app_cpu_s
    cpu_s = figures["NGINX_US"] / 1e6 + app_s
    redis_s = figures["REDIS_US"] / 1e6
    # A Redis executes commands on one core, and the sessions of a stack cannot be divided.
    stacks = math.ceil(asked.rps * redis_s / busy - 1e-9)
    rps = asked.rps / stacks
    machines = math.ceil(rps * cpu_s / (cores * busy) - 1e-9)
    held_s = app_s + redis_s + asked.app_wait_s
    processes, threads = _workers(rps / machines, app_s / busy, held_s)
    slots = processes * threads
    limits = [
        Limit("CPU of the machines with nginx and app", stacks * machines * cores / cpu_s),
        Limit("CPU of Redis (one core each)", stacks / redis_s),
        Limit("Python in the processes (one core each)", stacks * machines * processes / app_s),
        Limit("threads of the app", stacks * machines * slots / held_s),
    ]
    variation = figures["VARIATION"]
    times = many_machines.answers(
        rate=rps,
        machines=machines,
        cores=cores,
        cpu=lambda source: many_machines.varying(source, cpu_s, variation),
        redis=lambda source: many_machines.varying(source, redis_s, variation),
        wait=asked.app_wait_s,
        seed=int(figures["SEED"]),
    )
    cores_wait = queueing.mean_wait(cores, rps / machines, cpu_s, variation)
    redis_wait = queueing.mean_wait(1, rps, redis_s, variation)
    return Plan(
        demand=asked,
        stacks=stacks,
        machines=machines,
        spare=int(figures["SPARE"]),
        cores=cores,
        processes=processes,
        threads=threads,
        app_mb=figures["APP_MB"] + processes * figures["WORKER_MB"],
        redis_busy=rps * redis_s,
        redis_ops=rps * figures["REDIS_OPS"],
        redis_mb=asked.users / stacks * (figures["SESSION_BYTES"] + figures["ACCOUNT_BYTES"]) / MB,
        rps_of_a_machine=cores * busy / cpu_s,
        rps_of_a_redis=busy / redis_s,
        limits=tuple(sorted(limits, key=lambda it: it.rps)),
        mean_s=cpu_s + cores_wait + redis_s + redis_wait + asked.app_wait_s,
        p50_s=many_machines.share_of(times, 0.5),
        p99_s=many_machines.share_of(times, 0.99),
        simulated_mean_s=sum(times) / len(times),
    )


def _workers(rps: float, core_s: float, held_s: float) -> tuple[int, int]:
    """Return processes and threads of a machine that serves *rps*.

    A process runs Python on one core at a time. A request holds a thread for *held_s*.
    """
    processes = max(2, math.ceil(rps * core_s - 1e-9))
    slots = queueing.servers_for(rps * held_s, WAITING_FOR_A_THREAD)
    threads = math.ceil(slots / processes)
    most_threads, most_processes = _most("STACK_THREADS"), _most("STACK_PROCESSES")
    if threads > most_threads:
        threads, processes = most_threads, math.ceil(slots / most_threads)
    if processes > most_processes:
        raise StackError(
            f"a machine would need {processes} processes, and STACK_PROCESSES is at most"
            f" {most_processes}",
            "give fewer CORES, so that more machines share the load, or a shorter APP_WAIT_MS",
        )
    return processes, threads


def _most(name: str) -> int:
    return cast("Whole", TOGGLES[name].kind).high
