"""Prints several log files as one, each line with the name of its service."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_COLOURS = {"nginx": "32", "app": "36", "redis": "35", "certificates": "33"}


def show(directory: Path, services: Sequence[str], *, follow: bool) -> int:
    """Print each service's log; with *follow*, its last lines and then new ones until Ctrl-C."""
    files = [directory / f"{service}.log" for service in services]
    files += directory.glob("certificates.log")  # of STACK_ACME
    # -F also follows a file that is truncated (stack.local.rotate) or that a new start replaces.
    lines = ["--lines=10", "-F"] if follow else ["--lines=+1"]
    with subprocess.Popen(
        ["tail", "--verbose", *lines, *files],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
    ) as tail:  # fmt: skip
        assert tail.stdout is not None  # noqa: S101 - a pipe, as requested
        prefix = ""
        try:
            for line in tail.stdout:
                if header := re.fullmatch(r"==> .*/(\w+)\.log <==\n", line):
                    prefix = _prefix(header[1])
                elif line != "\n":
                    print(prefix + line, end="", flush=True)
        except KeyboardInterrupt:
            pass
        finally:
            tail.kill()
    return 0


def _prefix(service: str) -> str:
    name = f"{service:<5} | "
    return f"\x1b[{_COLOURS[service]}m{name}\x1b[0m" if sys.stdout.isatty() else name
