"""Opens the sockets that nginx and Prometheus connect to, and passes them on to uWSGI's masters.

They belong to the entrypoint and stay open while masters come and go, so no connection is refused.
uWSGI takes them by systemd's socket activation: descriptors from 3 on, counted by LISTEN_FDS.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

FIRST_DESCRIPTOR = 3
# As long as uWSGI waits for a client that sends nothing: socket-timeout in uwsgi.ini.
DEFER_ACCEPT_SECONDS = 30


class Listening:
    """The listening sockets. Raises OSError, whose text names the variable and the address.

    *values* has APP_LISTEN (address:port), APP_SOCKET (the path of a unix socket) or both,
    METRICS_LISTEN, and STACK_LISTEN, the length of the queues.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        backlog = int(values["STACK_LISTEN"])
        self.requests: list[socket.socket] = []
        if "APP_LISTEN" in values:
            self.requests.append(_tcp("APP_LISTEN", values["APP_LISTEN"], backlog))
            # The kernel wakes a worker when the request is there, not when the connection is.
            option = socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT_SECONDS
            self.requests[0].setsockopt(*option)
        self._unix = _Unix(Path(values["APP_SOCKET"]), backlog) if "APP_SOCKET" in values else None
        if self._unix:
            self.requests.append(self._unix.socket)
        self.metrics = _tcp("METRICS_LISTEN", values["METRICS_LISTEN"], 16)

    def publish(self) -> None:
        """Give the unix socket its serving name, unless another server has it."""
        if self._unix:
            self._unix.publish()

    def is_refused(self) -> bool:
        """Whether another server has the serving name and does not expect this one beside it."""
        return self._unix is not None and self._unix.is_refused()

    def set_backlog(self, backlog: int) -> None:
        for listener in self.requests:
            listener.listen(backlog)

    def close(self) -> None:
        """Remove the unix socket's file, unless another server has taken over its name."""
        if self._unix:
            self._unix.remove()

    def hand_over(self) -> dict[str, str]:
        """Put the sockets where uWSGI expects them, and return the variables that say so.

        For the child, between fork and exec.
        """
        count = len(self.requests)
        # Before the numbers below are given away: one of them may be this socket's.
        inode = os.fstat(self._unix.socket.fileno()).st_ino if self._unix else 0
        # First out of the way of the numbers that they get.
        high = FIRST_DESCRIPTOR + count + 1
        sockets = [*self.requests, self.metrics]
        moved = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, high) for one in sockets]
        for number, descriptor in enumerate(moved, FIRST_DESCRIPTOR):
            os.dup2(descriptor, number)
        return {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(count),
            "METRICS_FD": str(FIRST_DESCRIPTOR + count),
            "APP_SOCKET_INODE": str(inode),
        }


def _tcp(variable: str, listen: str, backlog: int) -> socket.socket:
    host, _, port = listen.rpartition(":")
    v6 = host.startswith("[")
    try:
        listener = socket.create_server(
            (host.strip("[]"), int(port)),
            family=socket.AF_INET6 if v6 else socket.AF_INET,
            backlog=backlog,
            dualstack_ipv6=v6,
        )
    except OSError as error:
        raise OSError(f"{variable}={listen!r}: {error.strerror}") from error
    # Masters share it: a worker that loses the race for a connection must not wait in accept().
    listener.setblocking(False)
    return listener


class _Unix:
    """A socket that is bound under a name of its own and renamed to the serving one.

    Two containers cannot bind one path, and a rename leaves no moment without a socket. The file
    PATH.next has the host name of a server that may start beside the one that serves. Who wrote the
    file (`make deploy`) renames that server's socket, PATH.HOST, once it is ready.
    """

    def __init__(self, path: Path, backlog: int) -> None:
        self._path = path
        own = socket.gethostname() if self._is_expected() else secrets.token_hex(4)
        self._own = path.with_name(f"{path.name}.{own}")
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.bind(str(self._own))
            # nginx runs under another user; the directory decides who reaches the socket.
            self._own.chmod(0o666)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"APP_SOCKET={str(path)!r}: {reason}") from error
        self._file = self._own.stat().st_ino
        self.socket.listen(backlog)
        self.socket.setblocking(False)

    def publish(self) -> None:
        if self._own.exists() and not self._another_serves():
            self._own.replace(self._path)

    def is_refused(self) -> bool:
        return self._another_serves() and not self._is_expected()

    def _is_expected(self) -> bool:
        expected = self._path.with_name(f"{self._path.name}.next")
        return expected.exists() and expected.read_text("utf-8").strip() == socket.gethostname()

    def _another_serves(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._path)) == 0

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._own.unlink()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._file:
                self._path.unlink()
