"""Rotates the logs of the local services.

Runs under supervisord as a listener for its TICK events. A log that is too large is copied and then
truncated, because the services hold it open and append to it. A line written between copy and
truncation is lost: the price of not passing every line through another process.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

MAX_BYTES = 10_000_000
KEPT = 3


def rotate(log: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move the content of a *log* over *max_bytes* to ``.1``, and ``.1`` and ``.2`` one further."""
    try:
        if log.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True


def main(directory: Path) -> None:
    """Follow supervisord's listener protocol: print READY, read an event, print its result."""
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = sys.stdin.readline()
        if not header:
            return
        fields = dict(field.split(":") for field in header.split())
        sys.stdin.read(int(fields["len"]))
        for log in directory.glob("*.log"):
            rotate(log)
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
