"""What /proc and the kernel's clocks say about processes: who belongs together, what they use."""

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
    """A line of /proc/PID/stat, as far as it is needed here. Times are in clock ticks."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    waited_for_ticks: int
    started_ticks: int

    @property
    def uptime_s(self) -> float:
        """Seconds since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started_ticks / TICKS


def boot_id() -> str:
    """Changes with every boot: a pid from before it names nobody."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def find(pid: int, *, zombie: bool = False) -> Process | None:
    """Return the process, or None when there is none, or only a zombie that was not asked for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may itself hold blanks and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    process = Process(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        waited_for_ticks=int(fields[13]) + int(fields[14]),
        started_ticks=int(fields[19]),
    )
    return None if process.state in "ZX" and not zombie else process


def everything(*, zombies: bool = False) -> list[Process]:
    """Return every process that this machine shows."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [process for pid in pids if (process := find(pid, zombie=zombies)) is not None]


def in_session(leader: int, started_ticks: int) -> list[Process]:
    """Return the session that process *leader* opened at *started_ticks*, alive or not itself.

    The kernel does not give a pid away again while a session carries it, but a session of a later
    process with that pid would be somebody else's: what began before the leader cannot be ours, and
    a living leader with another start time is not ours.
    """
    head = find(leader)
    if head is not None and head.started_ticks != started_ticks:
        return []
    return [p for p in everything() if p.session == leader and p.started_ticks >= started_ticks]


def family(root: int, *, zombies: bool = False) -> list[Process]:
    """Return process *root* and all its descendants, with whoever else is in its process group.

    What a zombie has used is in its parent's account only once the parent has waited for it: who
    adds up CPU time wants *zombies*, too.
    """
    known = everything(zombies=zombies)
    members = {p.pid for p in known if root in (p.pid, p.group)}
    grew = True
    while grew:
        children = {p.pid for p in known if p.parent in members} - members
        members |= children
        grew = bool(children)
    return [p for p in known if p.pid in members]


def cpu_seconds(members: Iterable[Process]) -> float:
    """Return the processor time that *members* have used, their ended children's included.

    A living process is read from its CPU clock (nanoseconds; ticks of 10 ms would need minutes of
    load for a figure); children that ended are only counted in ticks.
    """
    total = 0.0
    for process in members:
        with suppress(OSError):  # it ended just now
            total += cpu_ns(process.pid) / 1e9 + process.waited_for_ticks / TICKS
    return total


def cpu_ns(pid: int) -> int:
    """Return the processor time of all of a process's threads, ended ones too, in nanoseconds.

    Raises OSError for a process that is not there.
    """
    # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel
    return time.clock_gettime_ns((~pid << 3) | 2)


def pss_bytes(members: Iterable[Process]) -> int:
    """Return the memory of *members*, a page shared by n processes counted 1/n for each."""
    total = 0
    for process in members:
        with suppress(OSError):
            total += memory_bytes(process.pid)["Pss"]
    return total


def memory_bytes(pid: int) -> dict[str, int]:
    """Return /proc/PID/smaps_rollup: field (Rss, Pss, Private_Clean, …) → bytes.

    Raises OSError for a process that is not there or whose memory is not ours to look at.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(value) * 1024 for name, value, *_ in fields}


def end(members: Iterable[Process], *, grace_s: float = 5.0) -> None:
    """Ask *members* to end, and kill those that have not after *grace_s* seconds."""
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


def kill(members: Callable[[], list[Process]], *, patience_s: float = 5.0) -> None:
    """Kill what *members* returns, and what it returns next, until it returns nobody."""
    deadline = time.monotonic() + patience_s
    while (living := members()) and time.monotonic() < deadline:
        # The eldest first: a master would start a worker again.
        for process in sorted(living, key=lambda p: (p.started_ticks, p.pid)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.005)
