"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from faults.stage import Stage

BOTH = ("local", "compose")


class BrokenPromise(Exception):
    """The stack did not do what this fault's row says. The text says what happened."""


@dataclass(frozen=True)
class Fault:
    """One way in which the stack is broken.

    The fault begins when *strike* is entered and ends when it is left; `hold_s` lies between.
    """

    name: str
    what: str  # what is done, for the table
    strike: Callable[[Stage], AbstractContextManager[None]]
    # The service whose log shows it, and a regular expression for the line; "" where no log does.
    log: tuple[str, str]
    alert: str  # the rule of deploy/observe/ that fires if it lasts, or "none: …"
    hold_s: float = 0.0
    # From the end of the fault until no request fails any more.
    within_s: float = 10.0
    settings: Mapping[str, str] = field(default_factory=dict)
    runtimes: tuple[str, ...] = BOTH
    # It puts older data in force: sessions end, and what is newer is gone.
    restores: bool = False
    # Of the copy: a disk of 48 MB; a clock that can jump.
    small_disk: bool = False
    clock: bool = False
    # Why it cannot be tried on this machine, or None.
    missing: Callable[[str], str | None] = lambda _: None
    # Tried only if ONLY names it.
    on_request: bool = False
