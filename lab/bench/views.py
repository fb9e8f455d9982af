"""What a login-protected view costs behind nginx: ours, and as others would serve it.

One block starts every copy afresh, with the shipped defaults. Those whose CPU is compared take
turns; memory and a reload are looked at afterwards.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from lab.bench import rivals
from lab.bench.inside import Inside
from lab.bench.slices import SLICE, Arm, WrongAnswer, rotate
from lab.judge.estimate import of_block
from lab.measure import arms, counters, reloading
from lab.measure.rotation import Target
from lab.plan.experiment import ArmSpec
from loadtest import cookies
from stack import processes
from stack.local.runtime import LocalRuntime
from toggles.demo import DEMO_NAME

PATH = "/workload/protected"
WARM_UP = 3 * SLICE
MB = 1e6

BARE, PROTECTED, TWIN = "bare", "protected", "protected, again"
RIVAL, GUNICORN, GRANIAN = "Flask-Session", "gunicorn, Flask-Session", "granian"
ALONE, LAZY = "one worker", "lazy-apps"

_RIVAL_APP = {"STACK_APP": f"{rivals.__name__}:create_app()"}
OTHERS = (
    ArmSpec(RIVAL, _RIVAL_APP, enter="/enter"),
    ArmSpec(GUNICORN, _RIVAL_APP, server="gunicorn-gthread", enter="/enter"),
    ArmSpec(GRANIAN, {}, server="granian"),
    ArmSpec(ALONE, {"STACK_PROCESSES": "1"}),
    ArmSpec(LAZY, {"STACK_LAZY_APPS": "on"}),
)

# Arrivals a second during the reload: far from what the stack can do, and often enough that no
# stall of a few ms goes unseen.
RELOAD_RATE = 100.0


@dataclass(frozen=True)
class Views:
    """One block: log ratios by comparison, figures by name (see __main__.BUDGETS for their units),
    and the arms' costs in µs a request by service."""

    log_ratios: dict[str, float]
    figures: dict[str, float]
    cpu_us: dict[str, dict[str, float]]


def block(rounds: int, order: random.Random, progress: Callable[[str], None]) -> Views:
    """Start every copy afresh, move the load between the arms, and compare what they used.

    Raises StackError when a copy does not start, WrongAnswer when an arm does not answer rightly,
    LoadError when there was no load for the reload.
    """
    with ExitStack() as cleanup:
        progress("starting every copy")
        ours = cleanup.enter_context(LocalRuntime(dict(arms.FIXED)))
        others = {arm.spec.name: arm for arm in arms.start_all(OTHERS)}
        for other in others.values():
            cleanup.callback(other.stop)
        served, inside = _arms(cleanup, ours, others)
        rotate(
            [*served.values(), inside],
            rounds,
            order,
            lambda done: progress(f"round {done}/{rounds}"),
        )
        progress("memory")
        extra_mb = _extra_mb_a_worker(ours, others[ALONE], rounds)
        progress("a reload under load")
        reload = _reload(others[LAZY], order)

    def app(name: str) -> list[float]:
        return served[name].costs["app"]

    def stack(name: str) -> list[float]:
        return served[name].total()

    return Views(
        log_ratios={
            "protected-vs-bare-view": of_block(app(PROTECTED), app(BARE)),
            "ours-vs-flask-session": of_block(app(PROTECTED), app(RIVAL)),
            "serving-overhead": of_block(app(PROTECTED), inside.costs),
            "stack-vs-gunicorn-flask-session": of_block(stack(PROTECTED), stack(GUNICORN)),
            "stack-vs-granian": of_block(stack(PROTECTED), stack(GRANIAN)),
            "twin": of_block(app(TWIN), app(PROTECTED)),
        },
        figures={
            "wakeups-per-request": fmean(served[BARE].wakeups),
            "extra-pss-per-worker": extra_mb,
            "chain-reload-failed": reload.failed,
            "chain-reload-stall": reload.stall_ms,
        },
        cpu_us={
            name: {service: median(values) * 1e6 for service, values in arm.costs.items()}
            for name, arm in served.items()
        }
        | {inside.name: {"app": median(inside.costs) * 1e6}},
    )


def _arms(
    cleanup: ExitStack, ours: LocalRuntime, others: dict[str, arms.RunningArm]
) -> tuple[dict[str, Arm], Inside]:
    """What takes turns, warmed up."""
    address, pids = ours.address(), _pids(ours)
    member = cookies.of_demo_account(address)
    mine, theirs = (f'"name":"{name}"'.encode() for name in (DEMO_NAME, rivals.NAME))
    made = [
        Arm(BARE, address, "/workload/bare", b'"name":null', pids),
        Arm(PROTECTED, address, PATH, mine, pids, member),
        Arm(TWIN, address, PATH, mine, pids, member),
    ]
    for name, expected in ((RIVAL, theirs), (GUNICORN, theirs), (GRANIAN, mine)):
        other = others[name]
        made.append(Arm(name, other.address, PATH, expected, other.pids(), other.cookie))
    inside = cleanup.enter_context(Inside(ours, PATH, mine, member))
    inside.run(WARM_UP)
    for arm in made:
        cleanup.callback(arm.close)
        arm.run(WARM_UP)
    return {arm.name: arm for arm in made}, inside


def _extra_mb_a_worker(ours: LocalRuntime, alone: arms.RunningArm, rounds: int) -> float:
    """What one more worker adds to the app's memory (PSS), once it has worked.

    A copy with n workers against one with a single worker that has answered as many requests as
    each of the n: master, metrics and the pages that all share are in both and cancel out.
    """
    workers = int(ours.toggles["STACK_PROCESSES"])
    arm = Arm(ALONE, alone.address, PATH, b'"name"', alone.pids(), alone.cookie)
    arm.run(3 * (WARM_UP + rounds * SLICE) // workers)
    arm.close()
    all_of_them = counters.memory(_pids(ours)["app"]).pss_bytes
    one = counters.memory(alone.pids()["app"]).pss_bytes
    return (all_of_them - one) / (workers - 1) / MB


def _reload(lazy: arms.RunningArm, order: random.Random) -> reloading.Reload:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = reloading.reload(
            lazy,
            Target(LAZY, lazy.address, PATH, lazy.cookie),
            how="chain",
            rate=RELOAD_RATE,
            seed=order.randrange(1 << 32),
            folder=Path(folder),
            progress=lambda _: None,
        )
    if found.kept:
        raise WrongAnswer(f"{LAZY}: the reload did not replace workers {found.kept}")
    return found


def _pids(stack: LocalRuntime) -> dict[str, list[int]]:
    return {
        service: [process.pid for process in processes.family(pid)]
        for service, pid in stack.main_pids().items()
    }
