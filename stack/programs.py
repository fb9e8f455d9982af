"""The programs that the machine must have, and their installation.

For root on Debian or Ubuntu, apt installs what is missing, with a message. Any other user gets the
exact command: `make up` does not ask for root.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.progress import Progress

# nginx is in /usr/sbin, which is not on every user's PATH.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)

_POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True)
class Need:
    """A program or file that the machine must have. *package* provides it on Debian and Ubuntu."""

    what: str
    package: str
    found: Callable[[], bool]


def which(program: str) -> str | None:
    """Return the path of a program, which may be in a folder of root's PATH."""
    return shutil.which(program, path=SEARCH_PATH)


def _program(name: str) -> Need:
    return Need(name, name, lambda: which(name) is not None)


_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

REDIS = (_program("redis-server"),)
SERVERS = (_program("nginx"), *REDIS)
CERTBOT = _program("certbot")
SHELLCHECK = _program("shellcheck")
# Debian's python3 has the venv module without ensurepip, which it needs.
VENV = (
    Need(
        f"Python {_VERSION}'s venv and ensurepip modules",
        f"python{_VERSION}-venv",
        lambda: all(map(importlib.util.find_spec, ("venv", "ensurepip"))),
    ),
)
COMPILER = (
    Need("a C compiler", "gcc", lambda: any(map(which, ("gcc", "cc")))),
    # --no-install-recommends installs gcc without them.
    Need("the C library's headers", "libc6-dev", Path("/usr/include/stdio.h").exists),
    Need(
        f"Python {_VERSION}'s headers",
        f"python{_VERSION}-dev",
        Path(sysconfig.get_path("include"), "Python.h").exists,
    ),
)


def ensure(needs: Sequence[Need], progress: Progress) -> None:
    """Install the missing *needs*, or raise StackError with the command that does."""
    missing = [need for need in needs if not need.found()]
    if not missing:
        return
    what = ", ".join(need.what for need in missing)
    packages = [need.package for need in missing]
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not _debian_like():
        raise StackError(f"missing: {what}", "install them with this system's package manager")
    if os.geteuid() != 0:
        raise StackError(f"missing: {what}", f"sudo {command}")
    progress.step(f"missing: {what}; installing with apt: {' '.join(packages)}")
    _apt(packages, command, progress)
    still = [need.what for need in missing if not need.found()]
    if still:
        raise StackError(
            f"still missing after {command}: {', '.join(still)}",
            # Debian's packages serve only Debian's Python.
            f"this is {sys.executable}; try make up PYTHON=/usr/bin/python3",
        )


def _debian_like() -> bool:
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    like = re.search(r"^ID(_LIKE)?=.*\bdebian\b", text, re.MULTILINE)
    return like is not None and which("apt-get") is not None


def _apt(packages: Sequence[str], command: str, progress: Progress) -> None:
    with _services_not_started(packages):
        # On a new machine or image the package lists are empty or old.
        for step in (["apt-get", "update"], command.split()):
            code, output = run_with_progress(
                step, progress, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
        if code != 0:
            raise StackError(f"`{command}` failed", "run it by hand", log="\n".join(output[-15:]))


@contextmanager
def _services_not_started(packages: Sequence[str]) -> Iterator[None]:
    """Keep Debian from starting nginx and Redis when it installs their packages.

    They would listen on ports 80 and 6379, now and after every boot. The stack starts its own.
    """
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
        units = [name for name in ("nginx", "redis-server") if name in packages]
        if units and which("systemctl"):
            subprocess.run(
                ["systemctl", "--quiet", "disable", *units], check=False, capture_output=True
            )


def run_with_progress(
    command: Sequence[str], progress: Progress, environ: Mapping[str, str]
) -> tuple[int, list[str]]:
    """Run *command* and show its output as progress; return its exit code and output lines."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environ,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe, as requested
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                progress.detail(line.strip())
        except BaseException:
            process.kill()
            raise
    progress.clear()
    return process.returncode, lines
