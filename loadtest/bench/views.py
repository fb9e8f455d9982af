"""What a login costs behind nginx and uWSGI, and what it would cost with Flask-Session."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from app.security.manager import DEMO_NAME
from loadtest import cookies
from loadtest.bench import rivals
from loadtest.bench.slices import SLICE, Arm, rotate
from loadtest.lab.estimate import of_block
from stack import processes
from stack.local import LocalRuntime

# One client keeps one worker busy; the second process shows whether idle ones cost anything.
SHAPE = {"STACK_PORT": "0", "STACK_PROCESSES": "2", "STACK_THREADS": "2"}
WARM_UP = 3 * SLICE

BARE, PROTECTED, TWIN, RIVAL = "bare", "protected", "protected, again", "protected, Flask-Session"


@dataclass(frozen=True)
class Views:
    """The block's log ratios by comparison, and the arms' costs in µs a request by service."""

    log_ratios: dict[str, float]
    cpu_us: dict[str, dict[str, float]]


def block(rounds: int, order: random.Random, progress: Callable[[int], None]) -> Views:
    """Start both stacks afresh, move the load between their arms, and compare what the app used.

    Raises StackError when a stack does not start, WrongAnswer when an arm does not answer rightly.
    """
    with ExitStack() as cleanup:
        ours = cleanup.enter_context(
            LocalRuntime({**SHAPE, "STACK_WORKLOAD": "on", "STACK_DEMO": "on"})
        )
        rival = cleanup.enter_context(
            LocalRuntime({**SHAPE, "STACK_APP": f"{rivals.__name__}:create_app()"})
        )
        member = cookies.of_demo_account(ours.address())
        guest = cookies.of_page(rival.address(), "/enter")
        path, mine = "/workload/protected", f'"name":"{DEMO_NAME}"'.encode()
        arms = [
            Arm(BARE, ours.address(), "/workload/bare", b'"name":null', _services(ours)),
            Arm(PROTECTED, ours.address(), path, mine, _services(ours), member),
            Arm(TWIN, ours.address(), path, mine, _services(ours), member),
            Arm(
                RIVAL,
                rival.address(),
                path,
                f'"name":"{rivals.NAME}"'.encode(),
                _services(rival),
                guest,
            ),
        ]
        for arm in arms:
            cleanup.callback(arm.close)
            arm.run(WARM_UP)
        rotate(arms, rounds, order, progress)
    costs = {arm.name: arm.costs for arm in arms}

    def app(name: str) -> list[float]:
        return costs[name]["app"]

    return Views(
        log_ratios={
            "protected-vs-bare-view": of_block(app(PROTECTED), app(BARE)),
            "ours-vs-flask-session": of_block(app(PROTECTED), app(RIVAL)),
            "twin": of_block(app(TWIN), app(PROTECTED)),
        },
        cpu_us={
            name: {service: median(values) * 1e6 for service, values in by_service.items()}
            for name, by_service in costs.items()
        },
    )


def _services(stack: LocalRuntime) -> dict[str, list[processes.Process]]:
    return {status.service: processes.family(int(status.id)) for status in stack.status()}
