"""Names what loading the app left open that forked workers must not share.

Two workers that read from one connection get each other's answers. An epoll descriptor is shared by
the kernel in the same way: an event loop in one worker takes events of another.
Datagram sockets, such as those of syslog and statsd, are safe: nobody reads answers from them.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def open_descriptors() -> dict[int, str]:
    """Return what each open descriptor of this process points to, as the kernel names it."""
    found = {}
    for entry in _DESCRIPTORS.iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except OSError:  # the descriptor of this very listing
            continue
    return found


def opened_since(before: dict[int, str]) -> list[str]:
    """Return a phrase for each connection and event loop that was opened since *before*."""
    found = []
    for descriptor, target in sorted(open_descriptors().items()):
        if before.get(descriptor) == target:
            continue
        if target.startswith("socket:") and (peer := _peer(descriptor)):
            found.append(f"a connection to {peer}")
        elif target == "anon_inode:[eventpoll]":
            found.append("an event loop (epoll)")
    return found


def _peer(descriptor: int) -> str | None:
    """Return the other end of a connected stream; None for every other socket."""
    borrowed = socket.socket(fileno=descriptor)
    try:
        if borrowed.type == socket.SOCK_DGRAM:
            return None
        peer = borrowed.getpeername()
    except OSError:
        return None  # not connected: a listening socket may be shared
    finally:
        borrowed.detach()
    if isinstance(peer, tuple):
        host = f"[{peer[0]}]" if ":" in peer[0] else peer[0]
        return f"{host}:{peer[1]}"
    # The two ends of a socketpair have no name, and both of them are here.
    return os.fsdecode(peer) or None
