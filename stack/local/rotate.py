"""Keeps the local services' logs from filling the disk.

Runs under supervisord as a listener to its clock. A log that has grown too large is copied aside
and cut, because the services hold it open and need not be told: they append. A line that is written
between the copy and the cut is lost; that is the price of not waking anybody for a log line.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

LARGEST = 10_000_000
KEPT = 3


def rotate(log: Path, largest: int = LARGEST) -> bool:
    """Move *log*'s content to ``.1``, older ones on to ``.2`` and ``.3``, if it is too large."""
    try:
        if log.stat().st_size <= largest:
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
    """Speak supervisord's protocol of listeners: say READY, get an event, answer it."""
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
