"""Says whether a second generation fits into the memory limit of the container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def used_by(pids: Iterable[int]) -> int:
    """Return the bytes of these processes; a page that n processes share counts 1/n (PSS)."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # the process has ended
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
    return total


def left(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> tuple[int, int] | None:
    """Return the tightest limit in bytes and what is left of it; None without a limit.

    File cache counts as free: the kernel drops it when memory is needed.
    """
    limits = list(_limits(root, own.read_text(encoding="utf-8")))
    return min(limits, key=lambda pair: pair[1]) if limits else None


def _limits(root: Path, groups: str) -> Iterator[tuple[int, int]]:
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":  # version 1
            top, names = (
                root / "memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
            )
        elif not controllers:
            top, names = root, ("memory.max", "memory.current", "")
        else:
            continue
        group = top / path.lstrip("/")
        # A container may see its own group as the root, under the host's name for it.
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                with suppress(OSError, ValueError, KeyError):  # no such group, or "max"
                    yield _limit(folder, *names)


def _limit(folder: Path, limit: str, usage: str, prefix: str) -> tuple[int, int]:
    most = int((folder / limit).read_text())
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    cache = sum(int(statistics[f"{prefix}{kind}_file"]) for kind in ("inactive", "active"))
    return most, most - int((folder / usage).read_text()) + cache
