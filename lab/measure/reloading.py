"""What clients feel while an arm's workers are replaced.

Requests arrive when a schedule says (an open loop), so one that had to wait for a whole reload is
seen with its whole wait. With users who wait for their answers there would be one such request a
user, and none while all of them wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from lab.measure.load import LoadResult, OpenLoop, Target

How = Literal["chain", "full"]

# Load before the reload, to see that all is well, and after it, for what comes to light late.
QUIET_S = 1.0

# uwsgi/reload gives up after 90 s without progress; arrivals end when it has returned.
LONGEST_S = 600.0


class Arm(Protocol):
    """As much of lab.measure.arms.RunningArm as is needed."""

    def workers(self) -> list[int]: ...

    def reload(self, how: How) -> None: ...


@dataclass(frozen=True)
class Reload:
    """One reload under load. failed: requests without a right answer (no answer, another status
    than 200, another body) or never sent. stall_ms: the longest that any request waited, from the
    moment at which it should have been sent. reload_s: from the command to the last new worker; the
    command tries the new code in a process of its own first. kept: workers that were there before
    and still are; where there are any, it was no reload.
    """

    how: How
    reload_s: float
    stall_ms: float
    failed: int
    kept: tuple[int, ...]
    load: LoadResult


def reload(
    arm: Arm,
    target: Target,
    *,
    how: How,
    rate: float,
    seed: int | str,
    folder: Path,
    progress: Callable[[str], None],
    warm_s: float = QUIET_S,
) -> Reload:
    """Reload *arm* while requests for *target* arrive at *rate* a second.

    Raises StackError when the arm does not come back, LoadError when there was no load.
    """
    # The workers' counters end with them, so those of the arm would mean nothing here.
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
        progress(f"{how} reload of {len(before)} workers")
        begun = time.monotonic()
        arm.reload(how)
        reload_s = time.monotonic() - begun
        time.sleep(QUIET_S)
        loop.finish()
        load = loop.wait()
    return Reload(
        how=how,
        reload_s=reload_s,
        stall_ms=load.longest_wait_ms,
        failed=load.errors + load.wrong + load.dropped,
        kept=tuple(sorted(before & set(arm.workers()))),
        load=load,
    )
