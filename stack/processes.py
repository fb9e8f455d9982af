"""Processes from /proc: which belong together, and what memory they use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """The fields of /proc/PID/stat that are used here. Times are in clock ticks."""

    pid: int
    parent: int
    group: int
    session: int
    started_ticks: int

    @property
    def uptime_s(self) -> float:
        """Seconds since its start."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started_ticks / TICKS


def boot_id() -> str:
    """Return an id that changes with every boot, which makes earlier pids meaningless."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def find(pid: int) -> Process | None:
    """Return the process; None when there is none, or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may contain blanks and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, *(int(fields[n]) for n in (1, 2, 3, 19)))


def running() -> list[Process]:
    """Return every process of this machine."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [process for pid in pids if (process := find(pid)) is not None]


def in_session(leader: int, started_ticks: int) -> list[Process]:
    """Return the session that process *leader* opened at *started_ticks*; the leader may be gone.

    The kernel does not reuse a pid while it is a session's id. A session of a later process with
    that pid is recognised by start times: its leader's differs, and no member of ours is older than
    the leader.
    """
    head = find(leader)
    if head is not None and head.started_ticks != started_ticks:
        return []
    return [p for p in running() if p.session == leader and p.started_ticks >= started_ticks]


def family(root: int) -> list[Process]:
    """Return process *root*, its descendants and the other members of its process group."""
    known = running()
    members = {p.pid for p in known if root in (p.pid, p.group)}
    while children := {p.pid for p in known if p.parent in members} - members:
        members |= children
    return [p for p in known if p.pid in members]


def pss_bytes(members: Iterable[Process]) -> int:
    """Return the proportional set size of *members*: a page of n processes counts 1/n for each."""
    total = 0
    for process in members:
        with suppress(OSError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
            total += int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024
    return total


def end(members: Iterable[Process], *, grace_s: float = 5.0) -> None:
    """Terminate *members*; kill those that still run after *grace_s* seconds."""
    living = list(members)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in living:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
        deadline = time.monotonic() + grace_s
        while living and time.monotonic() < deadline:
            living = [
                p for p in living if (now := find(p.pid)) and now.started_ticks == p.started_ticks
            ]
            time.sleep(0.02)
        if not living:
            return
