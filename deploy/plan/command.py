"""`make plan`: prints the plan, as text or as JSON, or measures this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from deploy.plan import figures, sizes
from deploy.plan.check import check
from stack.errors import StackError


def plan(environ: Mapping[str, str]) -> int:
    """Print the plan for RPS=, or with CHECK=1 compare this machine with its prediction.

    Returns 0; with CHECK=1, 1 if prediction and measurement do not agree. Raises StackError.
    """
    as_json = _switch(environ, "JSON")
    if _switch(environ, "CHECK"):
        return check(environ, as_json=as_json)
    values = figures.read(environ)
    made = sizes.size(sizes.demand(environ), values)
    if as_json:
        print(json.dumps({**asdict(made), "all_machines": made.all_machines, "figures": values}))
    else:
        print("\n".join(lines(made, values, environ)))
    return 0


def lines(
    made: sizes.Plan, values: Mapping[str, float], environ: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines of the plan for people."""
    asked = made.demand
    own = f", the app's own {asked.app_cpu_s * 1000:g} ms of CPU" if asked.app_cpu_s else ""
    own += f", {asked.app_wait_s * 1000:g} ms of waiting" if asked.app_wait_s else ""
    yield f"{asked.rps:,.6g} requests/s, {asked.users:,.0f} users with a session{own}"
    yield ""
    yield f"  machines    {made.all_machines:,} in all"
    stacks = "1 stack" if made.stacks == 1 else f"{made.stacks:,} stacks, each"
    yield (
        f"  {stacks:<11} {made.machines:,} + {made.spare} spare with nginx and app,"
        f" {made.cores} cores each, and 1 for Redis"
    )
    yield (
        f"  workers     STACK_PROCESSES={made.processes} STACK_THREADS={made.threads},"
        f" {made.app_mb:,.0f} MB for the app of a machine"
    )
    room = max(128, 64 * -(-made.redis_mb * 1.5 // 64))
    yield (
        f"  Redis       {made.redis_mb:,.1f} MB of sessions and accounts each:"
        f" REDIS_MAXMEMORY={room:.0f}mb; {made.redis_ops:,.0f} commands/s,"
        f" its core {100 * made.redis_busy:.0f} % busy"
    )
    yield (
        f"  answers     p50 {1000 * made.p50_s:.3g} ms, p99 {1000 * made.p99_s:.3g} ms (simulated);"
        f" mean {1000 * made.mean_s:.3g} ms by formula,"
        f" {1000 * made.simulated_mean_s:.3g} ms simulated"
    )
    yield ""
    yield "What is full first, as requests/s of this plan without its spare machines"
    for limit in made.limits:
        yield f"  {limit.rps:>12,.0f}  {limit.part}"
    yield ""
    yield "When"
    yield f"  a machine   every {made.rps_of_a_machine:,.0f} requests/s"
    yield (
        f"  a stack     every {made.rps_of_a_redis:,.0f} requests/s, because Redis has one core;"
        " the load balancer keeps each user in one stack"
    )
    yield ""
    yield "It rests on (NAME=value replaces one)"
    for name, figure in figures.FIGURES.items():
        source = "given" if environ.get(name) else figure.source
        amount = f"{values[name]:,g} {figure.unit}".strip()
        yield f"  {name:<14}{amount:>9}  {figure.meaning}: {source}"


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "")
    if text not in ("", "0", "1"):
        raise StackError(f"{name}={text!r}", "must be 1 or 0")
    return text == "1"
