"""The machine of a run, and its state during each trial.

conditions() is what a reader needs to judge or repeat a figure. A Watch measures how much of the
machine was taken away during a trial: the host of a virtual machine steals CPU time, and programs
do not see that in their own times.
"""

from __future__ import annotations

import os
import platform
import runpy
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lab.plan import sources
from stack import programs
from stack.checkout import CHECKOUT

_PROC = Path("/proc")
_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")

# Installed packages whose versions matter.
PACKAGES = (
    *("uwsgi", "flask", "werkzeug", "redis", "flask-session"),
    *("gunicorn", "gunicorn-h1c", "granian", "waitress", "locust"),
)
PROGRAMS = {"nginx": "-v", "redis-server": "--version", "docker": "--version", "perf": "--version"}


@dataclass(frozen=True)
class CpuTimes:
    """The machine's CPU time since boot, all cores together, in ticks (1/100 s) of /proc/stat."""

    busy: int
    idle: int
    stolen: int

    @classmethod
    def parse(cls, text: str) -> CpuTimes:
        """*text* is /proc/stat. Raises ValueError when it has no line for all CPUs.

        user and nice include the time of guests already. Older kernels end the line before `steal`,
        which then counts as 0.
        """
        for line in text.splitlines():
            name, *numbers = line.split()
            if name == "cpu":
                user, nice, system, idle, wait, irq, soft, stolen = (
                    [int(number) for number in numbers] + [0] * 8
                )[:8]
                return cls(user + nice + system + irq + soft, idle + wait, stolen)
        raise ValueError("/proc/stat has no line that begins with `cpu `")

    @classmethod
    def read(cls) -> CpuTimes:
        return cls.parse((_PROC / "stat").read_text(encoding="ascii"))

    def since(self, before: CpuTimes) -> CpuTimes:
        """The difference, never below 0: iowait can decrease, see proc_stat(5)."""
        return CpuTimes(
            max(0, self.busy - before.busy),
            max(0, self.idle - before.idle),
            max(0, self.stolen - before.stolen),
        )

    @property
    def stolen_share(self) -> float:
        """The stolen share of all CPU time; 0 if no tick has passed."""
        return self.stolen / (self.total or 1)

    @property
    def busy_share(self) -> float:
        """The share of all CPU time that this machine's programs used."""
        return self.busy / (self.total or 1)

    @property
    def total(self) -> int:
        return self.busy + self.idle + self.stolen


@dataclass(frozen=True)
class Watched:
    """The machine during an interval, in shares from 0 to 1.

    stolen, busy: of the CPU time of all cores. pressure: of the interval, the time in which a
    runnable task waited for a CPU (the kernel's PSI, over exactly this interval instead of the last
    10 s); None if the kernel does not provide it.
    """

    seconds: float
    stolen: float
    busy: float
    pressure: float | None


class Watch:
    """Watches from its construction on: ``watch = Watch(); …; watch.seen().stolen``.

    /proc/stat counts in ticks of 10 ms, so intervals below half a second are imprecise.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu = CpuTimes.read()
        self._waited = _waited_us()

    def seen(self) -> Watched:
        """The interval from the construction until now."""
        seconds = time.monotonic() - self._began
        cpu = CpuTimes.read().since(self._cpu)
        waited = _waited_us()
        pressure = None
        if waited is not None and self._waited is not None and seconds > 0:
            pressure = min(1.0, (waited - self._waited) / 1e6 / seconds)
        return Watched(seconds, cpu.stolen_share, cpu.busy_share, pressure)


def processes(*, lazy: bool = False) -> int:
    """How many worker processes STACK_PROCESSES=auto is on this machine."""
    # By its path: `uwsgi` is importable only inside the server (uwsgi/__init__.py).
    found: int = runpy.run_path(str(CHECKOUT / "uwsgi" / "cores.py"))["cores"](lazy=lazy)
    return found


def conditions() -> dict[str, Any]:
    """The machine as a report shows it, for JSON; None for what it does not reveal."""
    pressure = _pressure()
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "processes": processes(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "virtual": _virtual(),
        "governor": _line(_CPU / "cpu0/cpufreq/scaling_governor"),
        "cgroup": "v2" if (_CGROUP / "cgroup.controllers").exists() else "v1",
        "somaxconn": int(_line(_PROC / "sys/net/core/somaxconn") or 0) or None,
        "python": platform.python_version(),
        "versions": versions(),
        "revision": _revision(),
        "tree": sources.measured(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "stolen_since_boot": round(CpuTimes.read().stolen_share, 4),
        "pressure_avg10": None if pressure is None else float(pressure["avg10"]) / 100,
    }


def _revision() -> str | None:
    """The commit of this checkout, with "-dirty" if a file that a figure depends on differs from
    it; None without Git."""
    git = programs.which("git")
    if git is None:
        return None
    said = subprocess.run(
        [git, "describe", "--always", "--exclude=*"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    commit = said.stdout.strip()
    return f"{commit}{'-dirty' * sources.is_changed()}" if commit else None


def versions() -> dict[str, str]:
    """Name → version of the installed servers, of the generator and of what they run."""
    found = {}
    for program, option in PROGRAMS.items():
        if (version := _said_version(program, option)) is not None:
            found[program] = version
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    # The server is the program redis-server, the package redis is its client.
    if "redis" in found:
        found["redis-py"] = found.pop("redis")
    return dict(sorted(found.items()))


def _said_version(program: str, option: str) -> str | None:
    """The first word of the output of *program* that begins with a digit."""
    path = programs.which(program)
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, option], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = said.stdout + said.stderr  # nginx prints it to stderr
    words = text.replace("=", " ").replace("/", " ").split()
    return next((word.rstrip(",") for word in words if word[:1].isdigit()), None)


def _cpu_model() -> str | None:
    for line in (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return None


def _virtual() -> str:
    """The kind of virtual machine or container; "no" if there is no sign of one."""
    tool = programs.which("systemd-detect-virt")
    if tool is not None:
        kinds = [
            subprocess.run(
                [tool, layer], capture_output=True, text=True, timeout=10, check=False
            ).stdout.strip()
            for layer in ("--vm", "--container")
        ]
        if known := [kind for kind in kinds if kind not in ("", "none")]:
            return ", ".join(known)
    cpuinfo = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    return "yes, of an unknown kind" if " hypervisor" in cpuinfo else "no"


def _pressure() -> dict[str, str] | None:
    """The line "some" of the kernel's pressure file for the CPU."""
    try:
        text = (_PROC / "pressure/cpu").read_text(encoding="ascii")
    except OSError:  # not in this kernel, or disabled at boot
        return None
    fields = text.partition("\n")[0].split()[1:]
    return {name: value for name, _, value in (pair.partition("=") for pair in fields)}


def _waited_us() -> int | None:
    pressure = _pressure()
    return None if pressure is None else int(pressure["total"])


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
