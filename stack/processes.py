"""Processes from /proc and the kernel's clocks: which belong together, and what they use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """The fields of /proc/PID/stat that are used here. Times are in clock ticks."""

    pid: int
    state: str
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


def find(pid: int, *, zombie: bool = False) -> Process | None:
    """Return the process; None when there is none, or a zombie without *zombie*."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may contain blanks and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    process = Process(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started_ticks=int(fields[19]),
    )
    return None if process.state in "ZX" and not zombie else process


def running(*, zombies: bool = False) -> list[Process]:
    """Return every process of this machine."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [process for pid in pids if (process := find(pid, zombie=zombies)) is not None]


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
    grew = True
    while grew:
        children = {p.pid for p in known if p.parent in members} - members
        members |= children
        grew = bool(children)
    return [p for p in known if p.pid in members]


def cpu_ns(pid: int) -> int:
    """Return the CPU time of all threads of a process, ended ones included, in nanoseconds.

    Raises OSError for a process that does not exist.
    """
    # The kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
    return time.clock_gettime_ns((~pid << 3) | 2)


def pss_bytes(members: Iterable[Process]) -> int:
    """Return the proportional set size of *members*: a page of n processes counts 1/n for each."""
    total = 0
    for process in members:
        with suppress(OSError):
            total += memory_bytes(process.pid)["Pss"]
    return total


def memory_bytes(pid: int) -> dict[str, int]:
    """Return /proc/PID/smaps_rollup: field (Rss, Pss, Private_Clean, …) → bytes.

    Raises OSError for a process that does not exist or belongs to another user.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(value) * 1024 for name, value, *_ in fields}


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


def kill(members: Callable[[], list[Process]], *, timeout_s: float = 5.0) -> None:
    """Kill what *members* returns, again and again until it returns no process."""
    deadline = time.monotonic() + timeout_s
    while (living := members()) and time.monotonic() < deadline:
        # The oldest first: a master would replace its workers.
        for process in sorted(living, key=lambda p: (p.started_ticks, p.pid)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.005)
