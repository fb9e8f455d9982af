"""Writes receipts in a background thread, so that an order does not wait for the disk.

The executor starts its thread with the first receipt: one that starts at import would not exist in
the workers.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_writer = ThreadPoolExecutor(max_workers=1)


def write(file: Path, line: str) -> None:
    """Have *line* appended to *file*; return at once."""
    _writer.submit(_append, file, line)


def _append(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
