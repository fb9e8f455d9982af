"""Counts the requests in flight from the kernel's tables.

nginx opens one connection per request, so each connection that a worker holds is a request in
flight. uWSGI cannot be asked: its master does not respond while it stops.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

# States of the kernel's tcp_states.h. A client in CLOSE_WAIT still waits for its response.
ESTABLISHED, CLOSE_WAIT = "01", "08"


def accepted(port: int, pids: Iterable[int]) -> int:
    """Return how many connections to *port* these processes hold."""
    # A connection in the listen queue has inode 0 and belongs to no process yet.
    sockets = {f"socket:[{inode}]" for inode in _inodes(port) if inode != "0"}
    return len(sockets.intersection(link for pid in pids for link in _open_files(pid)))


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/self/net/{table}").read_text(encoding="ascii").splitlines()
        except OSError:  # the kernel has no IPv6
            continue
        for line in lines[1:]:
            fields = line.split()
            if fields[3] in (ESTABLISHED, CLOSE_WAIT) and int(fields[1][-4:], 16) == port:
                yield fields[9]


def _open_files(pid: int) -> Iterator[str]:
    try:
        files = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # the process has ended
        return
    for file in files:
        with contextlib.suppress(OSError):  # the file has been closed
            yield str(file.readlink())
