"""The figures that a plan rests on, each with its source. A variable of the same name replaces one.

The CPU time is that of one login-protected request on the lab's machine. Measure your own app with
`make compare` (or `make plan CHECK=1` for the stack alone) and give what you found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stack.errors import StackError


@dataclass(frozen=True)
class Figure:
    """*value* in *unit*; *low* and *high* are what a variable may say."""

    value: float
    unit: str
    meaning: str
    source: str
    low: float = 0.0
    high: float = 1e12
    whole: bool = False


_SESSIONS = "lab/results/sessions.md, CPU time by service, arm ours, one client"
_MEMORY = "docs/operations.md, Which values must agree"
_ONCE = "deploy/tests/test_a_plan_rests_on_the_lab.py, 100 accounts, Redis 7.0.15"
_CHOICE = "a choice"

FIGURES: Mapping[str, Figure] = {
    "NGINX_US": Figure(111, "µs", "CPU time a request in nginx", _SESSIONS),
    "STACK_US": Figure(322, "µs", "CPU time a request in the app's process", _SESSIONS, low=1),
    "REDIS_US": Figure(43, "µs", "CPU time a request in Redis", _SESSIONS, low=1),
    "REDIS_OPS": Figure(8, "", "commands a request: a script and what it calls", _ONCE),
    "SESSION_BYTES": Figure(1610, "B", "memory of a session in Redis", _ONCE),
    "ACCOUNT_BYTES": Figure(1210, "B", "memory of an account in Redis", _ONCE),
    "APP_MB": Figure(85, "MB", "memory of the app's master", _MEMORY),
    "WORKER_MB": Figure(12, "MB", "memory of a worker beyond that", _MEMORY),
    "BUSY": Figure(0.6, "", "share of the CPU time that is planned for", _CHOICE, 0.05, 0.95),
    "CORES": Figure(4, "", "cores of a machine", _CHOICE, 1, 1024, whole=True),
    "SPARE": Figure(1, "", "machines that may fail, a stack", _CHOICE, 0, 100, whole=True),
    "VARIATION": Figure(1, "", "standard deviation ÷ mean of CPU time", _CHOICE, 0, 10),
    "SEED": Figure(1, "", "start of the simulation's random numbers", _CHOICE, whole=True),
}


def read(environ: Mapping[str, str]) -> dict[str, float]:
    """Return the value of each figure, from *environ* where it names one. Raises StackError."""
    return {
        name: number(environ, name, figure.low, figure.high, whole=figure.whole) or 0.0
        if environ.get(name)
        else figure.value
        for name, figure in FIGURES.items()
    }


def number(
    environ: Mapping[str, str], name: str, low: float, high: float, *, whole: bool = False
) -> float | None:
    """Return the number that *environ* has as *name*, None for none.

    Raises StackError unless it is a plain decimal number from *low* to *high*.
    """
    text = environ.get(name, "")
    if not text:
        return None
    pattern = r"[0-9]{1,12}" if whole else r"[0-9]{1,12}(\.[0-9]{1,6})?"
    if not re.fullmatch(pattern, text) or not low <= float(text) <= high:
        kind = "a whole number" if whole else "a number"
        raise StackError(f"{name}={text!r}", f"must be {kind} from {low:,.12g} to {high:,.12g}")
    return float(text)
