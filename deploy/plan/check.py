"""`make plan CHECK=1`: predicts what this machine does from a light load, and measures it.

A stack of its own runs for about a minute: first one client at a time, which shows what a request
costs and takes; then random arrivals at half of what the machine should serve; then as much as
fits. The generator runs on the same cores and is part of the cost.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.plan import figures, load, simulate
from stack.local.runtime import LocalRuntime

LIGHT_SECONDS, HALF_SECONDS, FULL_SECONDS = 12.0, 25.0, 12.0
HALF_CLIENTS, FULL_CLIENTS = 32, 8
# How far a measurement may be from its prediction, as a factor up or down.
STATED_ERROR = {"saturation": 1.25, "p50": 1.4, "p99": 2.0}
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
    def ours(self) -> float:
        return sum(self.services.values()) + self.generator


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
    """Measure this machine and print it beside the prediction. Returns 1 if they do not agree."""
    seed = int(figures.read(environ)["SEED"])
    cores = len(os.sched_getaffinity(0))
    seconds = LIGHT_SECONDS + HALF_SECONDS + FULL_SECONDS
    if not as_json:
        print(f"Measuring this machine ({cores} cores) for {seconds:.0f} s", flush=True)
    settings = {"STACK_PORT": "0", "STACK_WORKLOAD": "on", "STACK_DEMO": "on"}
    settings["STACK_NAME"] = f"plan-{secrets.token_hex(4)}"
    settings["STACK_PROCESSES"] = str(max(2, cores))
    with LocalRuntime(settings) as stack:
        address = stack.address().rstrip("/")
        cookie = load.cookie_of_demo_account(address)
        load.closed(address, cookie, FULL_CLIENTS, 2.0)  # every worker has served some
        pids = stack.main_pids()
        before, begun = used(pids), time.monotonic()
        light = load.closed(address, cookie, 1, LIGHT_SECONDS)
        cost, took = used(pids).since(before), time.monotonic() - begun
        others = max(0.0, cost.everything - cost.ours) / took
        cpu_s = cost.ours / len(light)
        saturation = (cores - min(others, cores - 0.1)) / cpu_s
        rate = saturation / 2
        predicted = simulate.answers(
            rate=rate,
            machines=1,
            cores=cores,
            cpu=lambda source: _resampled(source, light),
            seed=seed,
        )
        half = sorted(
            load.scheduled(
                address, cookie, HALF_CLIENTS, rate=rate, seconds=HALF_SECONDS, seed=seed
            )
        )
        full = len(load.closed(address, cookie, FULL_CLIENTS, FULL_SECONDS)) / FULL_SECONDS
    rows = [
        Row("saturation", "/s", saturation, full),
        *(
            Row(
                name,
                "ms",
                1000 * simulate.share_of(predicted, share),
                1000 * simulate.share_of(half, share),
            )
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
    ]
    costs = {**cost.services, "generator": cost.generator}
    costs_us = {name: 1e6 * it / len(light) for name, it in costs.items()}
    agree = all(row.agrees for row in rows)
    if as_json:
        found = [{**asdict(row), "error": row.error, "agrees": row.agrees} for row in rows]
        print(
            json.dumps(
                {
                    "rows": found,
                    "agree": agree,
                    "rate": rate,
                    "cpu_us": costs_us,
                    "busy_elsewhere": others,
                }
            )
        )
    else:
        print("\n".join(_lines(rows, costs_us, rate, others)))
    return 0 if agree else 1


def _lines(
    rows: list[Row], costs_us: Mapping[str, float], rate: float, others: float
) -> Iterator[str]:
    parts = ", ".join(f"{name} {it:.0f}" for name, it in costs_us.items())
    yield f"CPU time a request with one client, µs: {parts}"
    yield f"Other programs and the host used {others:.2f} cores meanwhile"
    yield ""
    yield f"{'':<12}{'predicted':>12}{'measured':>12}{'ratio':>8}   agrees within"
    for row in rows:
        yield (
            f"{row.name:<12}{row.predicted:>10.4g}{row.unit:<2}{row.measured:>10.4g}{row.unit:<2}"
            f"{row.measured / row.predicted:>8.2f}   {'yes' if row.agrees else 'NO':<4}"
            f"a factor of {row.error:g}"
        )
    yield ""
    yield f"p50 and p99 are those of random arrivals, {rate:,.0f} requests/s."
    if not all(row.agrees for row in rows):
        yield "They do not agree. Run it again while the machine does nothing else."


def _resampled(source: random.Random, times: list[float]) -> simulate.Draw:
    return lambda: source.choice(times)


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
