"""CPU time, memory and processes of a container, from its control group.

Read on the host: a command inside the container would be counted as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stack import processes

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ControlGroup:
    """The control group of one container: one directory in v2, one per controller in v1."""

    cpu: Path
    memory: Path

    @classmethod
    def of(cls, pid: int) -> ControlGroup | None:
        """Return the group of process *pid*; None where it does not exist (a remote engine)."""
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        except OSError:
            return None
        paths: dict[str, str] = {}
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path)
        if "cpuacct" in paths and "memory" in paths:
            group = cls(
                _ROOT / "cpuacct" / paths["cpuacct"].lstrip("/"),
                _ROOT / "memory" / paths["memory"].lstrip("/"),
            )
        elif "" in paths:
            unified = _ROOT / paths[""].lstrip("/")
            group = cls(unified, unified)
        else:
            return None
        return group if group.cpu.is_dir() and group.memory.is_dir() else None

    def cpu_seconds(self) -> float:
        """CPU time of all processes, ended ones too; resolution 1 ns in v1, 1 µs in v2."""
        nanoseconds = self.cpu / "cpuacct.usage"
        if nanoseconds.exists():
            return int(nanoseconds.read_text(encoding="ascii")) / 1e9
        return _table(self.cpu / "cpu.stat")["usage_usec"] / 1e6

    def memory_bytes(self) -> int:
        """Memory charged to the group, without the file cache that the kernel can reclaim."""
        used = self.memory / "memory.usage_in_bytes"
        if not used.exists():
            used = self.memory / "memory.current"
        statistics = _table(self.memory / "memory.stat")
        cache = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
        return max(0, int(used.read_text(encoding="ascii")) - cache)

    def pss_bytes(self) -> int:
        """Proportional set size of its processes; ``memory_bytes`` where only root can read it."""
        text = (self.cpu / "cgroup.procs").read_text(encoding="ascii")
        members = [p for pid in map(int, text.split()) if (p := processes.find(pid)) is not None]
        return processes.pss_bytes(members) or self.memory_bytes()


def _table(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value in lines}
