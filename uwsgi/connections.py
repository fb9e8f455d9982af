"""Counts the requests in flight from the kernel's tables.

nginx opens one connection per request, so each connection that a worker holds is a request in
flight. uWSGI cannot be asked: its master does not respond while it stops.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

# Of the kernel's tcp_states.h: ESTABLISHED, and CLOSE_WAIT, in which a client still waits for its
# response. The inode is the tenth field; that of a connection in the listen queue is 0.
_TCP = r"^ *\d+: [0-9A-F]+:{port:04X} \S+ (?:01|08) \S+ \S+ \S+ +\d+ +\d+ ([1-9]\d*)"
# An accepted connection has the name that the listening socket was bound to; 03 is connected.
_UNIX = r"^\S+: \S+ \S+ \S+ \S+ 03 +([1-9]\d*) {name}$"


def accepted(listeners: Iterable[socket.socket], pids: Iterable[int]) -> dict[int, int]:
    """Return how many connections to *listeners* each of these processes holds."""
    sockets = {f"socket:[{inode}]" for listener in listeners for inode in _inodes(listener)}
    return {pid: len(sockets.intersection(_open_files(pid))) for pid in pids}


def _inodes(listener: socket.socket) -> Iterator[str]:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        tables, pattern = ["unix"], _UNIX.format(name=re.escape(name))
    else:
        tables, pattern = ["tcp", "tcp6"], _TCP.format(port=name[1])
    for table in tables:
        with contextlib.suppress(OSError):  # the kernel has no IPv6
            text = Path(f"/proc/self/net/{table}").read_text(encoding="utf-8", errors="replace")
            yield from re.findall(pattern, text, re.MULTILINE)


def _open_files(pid: int) -> Iterator[str]:
    try:
        files = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # the process has ended
        return
    for file in files:
        with contextlib.suppress(OSError):  # the file has been closed
            yield str(file.readlink())
