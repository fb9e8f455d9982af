"""A reload under load: failed requests and the longest wait.

The load is an open loop, so a request that waits for the whole reload counts with its whole wait. A
closed loop would have one such request per user, and none while all users wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lab.measure.load import LoadResult, OpenLoop, Target
from lab.plan.arms import ReloadMode

# Load before the reload, as a check, and after it, for late effects.
QUIET_S = 1.0

# Arrivals end when the reload has returned.
LONGEST_S = 600.0


class Arm(Protocol):
    """The part of RunningArm that is used here."""

    def workers(self) -> list[int]: ...

    def reload(self, mode: ReloadMode) -> None: ...


@dataclass(frozen=True)
class Reload:
    """One reload under load.

    failed: requests without an answer, with a status other than 200, with another body, or never
    sent. stall_ms: the longest wait of any request, from its intended moment. reload_s: from the
    command to the last new worker. kept: old workers that are still running; if there are any, it
    was no reload.
    """

    mode: ReloadMode
    reload_s: float
    stall_ms: float
    failed: int
    kept: tuple[int, ...]
    load: LoadResult


def reload(
    arm: Arm,
    target: Target,
    *,
    mode: ReloadMode,
    rate: float,
    seed: int | str,
    folder: Path,
    progress: Callable[[str], None],
    warm_s: float = QUIET_S,
) -> Reload:
    """Reload *arm* while requests for *target* arrive at *rate* per second.

    Raises StackError if the arm does not come back, LoadError if there was no load.
    """
    # Without counters, because those of the old workers end with them.
    loop = OpenLoop(
        replace(target, pids={}),
        rate=rate,
        seconds=LONGEST_S,
        warm_s=warm_s,
        seed=seed,
        folder=folder,
        progress=progress,
    )
    before = set(arm.workers())
    with loop:
        loop.start()
        time.sleep(QUIET_S)
        progress(f"{mode} reload of {len(before)} workers")
        begun = time.monotonic()
        arm.reload(mode)
        reload_s = time.monotonic() - begun
        time.sleep(QUIET_S)
        loop.finish()
        load = loop.wait()
    return Reload(
        mode=mode,
        reload_s=reload_s,
        stall_ms=load.longest_wait_ms,
        failed=load.errors + load.wrong + load.dropped,
        kept=tuple(sorted(before & set(arm.workers()))),
        load=load,
    )
