"""Rotates the logs of the local services, under supervisord.

A log that is too large is copied and then truncated, because the services hold it open and append
to it. A line written between copy and truncation is lost: the price of not passing every line
through another process.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

MAX_BYTES = 10_000_000
KEPT = 3
EVERY_S = 5


def rotate(log: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move the content of a *log* over *max_bytes* to ``.1``, and ``.1`` and ``.2`` one further."""
    if log.stat().st_size <= max_bytes:
        return
    for number in range(KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy2(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


if __name__ == "__main__":
    while True:
        for log in Path(sys.argv[1]).glob("*.log"):
            rotate(log)
        time.sleep(EVERY_S)
