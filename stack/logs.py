"""Prints several log files as one, each line with the name of its service."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_COLOURS = {"nginx": "32", "app": "36", "redis": "35"}
_LAST_LINES = 10


def show(directory: Path, services: Sequence[str], *, follow: bool) -> int:
    """Print each service's log; with *follow*, its last lines and then new ones until Ctrl-C."""
    tails = [_Tail(directory / f"{service}.log", service) for service in services]
    try:
        for tail in tails:
            tail.print_last(_LAST_LINES if follow else None)
        while follow:
            if not sum(tail.print_new() for tail in tails):  # any() would skip the others
                time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # `make logs | head`. Without this, Python reports the pipe again at exit.
        sys.stderr.close()
    return 0


class _Tail:
    def __init__(self, file: Path, service: str) -> None:
        self._file = file
        self._stream: BinaryIO | None = None
        self._rest = b""
        colour = _COLOURS.get(service) if sys.stdout.isatty() else None
        name = f"{service:<5} | "
        self._prefix = f"\x1b[{colour}m{name}\x1b[0m" if colour else name

    def print_last(self, count: int | None) -> None:
        lines = self._read()
        self._print(lines if count is None else lines[-count:])

    def print_new(self) -> bool:
        lines = self._read()
        if not lines and self._was_rotated():
            self._stream = None
            lines = self._read()
        self._print(lines)
        return bool(lines)

    def _read(self) -> list[bytes]:
        if self._stream is None:
            if not self._file.exists():
                return []
            self._stream = self._file.open("rb")
        *lines, self._rest = (self._rest + self._stream.read()).split(b"\n")
        return lines

    def _was_rotated(self) -> bool:
        """Whether the file was truncated (stack.local.rotate) or replaced by a new start."""
        if self._stream is None or not self._file.exists():
            return False
        now, open_one = self._file.stat(), os.fstat(self._stream.fileno())
        return now.st_ino != open_one.st_ino or now.st_size < self._stream.tell()

    def _print(self, lines: list[bytes]) -> None:
        for line in lines:
            print(self._prefix + line.decode(errors="replace"), flush=True)
