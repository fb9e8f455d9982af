"""TCP ports of this machine: which are free, and which process has one that is not."""

from __future__ import annotations

import errno
import random
import re
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from stack.errors import StackError

# Below 32768, where Linux's range for outgoing connections begins: otherwise a client could have
# the port of a service that restarts.
_INTERNAL = range(20000, 32000)

# Reservations of ports that were returned and that nothing listens on yet.
_reserved: deque[socket.socket] = deque(maxlen=200)

# A process that another thread starts holds a copy of the probing socket between its fork and its
# exec. The port seems taken for that moment.
_RETRIES = 5
_PAUSE_S = 0.05


def try_bind(address: str, port: int) -> OSError | None:
    """Return the error of listening there; None when it works."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As nginx does, so that connections in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def free(address: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens, and which no running process got from here lately."""
    for _ in range(1000):
        port = random.choice(_INTERNAL)  # noqa: S311 - two copies must differ, nobody guesses
        if reservation := _reserve(port):
            if try_bind(address, port) is None:
                _reserved.append(reservation)
                return port
            reservation.close()
    raise StackError(f"there is no free port on {address}", "stop some of the copies")


def _reserve(port: int) -> socket.socket | None:
    """Reserve *port* on this machine until the socket is closed. Return None if it is reserved.

    Copies may be started side by side, by several processes. An abstract unix socket has a name
    that only one process can bind, and that is free again when the process ends.
    """
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0flask-uwsgi-stack port {port}")
    except OSError:
        reservation.close()
        return None
    return reservation


def require(address: str, port: int, variable: str) -> None:
    """Raise StackError, with the command to type, unless *port* can be used."""
    for _ in range(_RETRIES):
        if (error := try_bind(address, port)) is None:
            return
        if error.errno != errno.EADDRINUSE:
            break
        time.sleep(_PAUSE_S)
    assert error is not None  # noqa: S101 - the loop has run
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        others = range(port + 1, min(port + 100, 65536))
        other = next((str(p) for p in others if not try_bind(address, p)), "another")
        taken = f"port {port} is taken" + (f" ({owner})" if owner else "")
        raise StackError(taken, f"make up {variable}={other}")
    if error.errno == errno.EACCES:
        raise StackError(f"only root may use port {port}", f"make up {variable}=8080")
    if error.errno == errno.EADDRNOTAVAIL:
        raise StackError(f"{address} is not an address here", "make up STACK_BIND=127.0.0.1")
    raise StackError(f"cannot listen on {address} port {port} ({error.strerror})")


def _owner(port: int) -> str:
    """Return ``name, pid N`` of the process on *port*; empty where this user may not see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(fields[9])
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if inodes & _sockets(entry):
                name = (entry / "comm").read_text(encoding="utf-8").strip()
                return f"{name}, pid {entry.name}"
    return ""


def _sockets(process: Path) -> set[str]:
    """Return the inodes of the sockets of a process, a folder in /proc."""
    found = set()
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if socket_of := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                found.add(socket_of[1])
    return found
