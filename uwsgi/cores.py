"""How many cores this process may use: STACK_PROCESSES=auto."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# A reload needs the memory of all workers twice, and the container has 768m (APP_MEMORY). With
# STACK_LAZY_APPS each worker has a copy of the app.
MOST, MOST_LAZY = 8, 4


def cores(
    groups: Path = GROUPS, membership: Path = Path("/proc/self/cgroup"), *, lazy: bool = False
) -> int:
    """Return the cores that affinity and the quotas of control groups allow, from 2 to the most.

    One worker is not enough on one core either: it would have no replacement while it restarts.
    """
    allowed = float(len(os.sched_getaffinity(0)))
    for quota, period in _quotas(groups, membership):
        allowed = min(allowed, quota / period)
    return min(MOST_LAZY if lazy else MOST, max(2, math.ceil(allowed)))


def _quotas(groups: Path, membership: Path) -> Iterator[tuple[int, int]]:
    """Yield quota and period of this process's group and of those above it, in microseconds."""
    try:
        listed = membership.read_text(encoding="ascii")
    except OSError:  # a kernel without control groups
        return
    for controllers, path in re.findall(r"^\d+:([^:]*):(.*)$", listed, re.M):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers  # version 2 has one tree, without a name
        here = root / path.strip("/")
        for group in (here, *here.parents):
            if group.is_relative_to(root) and (found := _quota(group)):
                yield found


def _quota(group: Path) -> tuple[int, int] | None:
    try:
        if (both := group / "cpu.max").exists():
            quota, period = both.read_text(encoding="ascii").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
        return (int(quota), int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such files, or "max"
        return None
