"""Becomes a service's entrypoint, after ending what a killed predecessor has left.

supervisord starts every service through this. When the master of nginx or of uWSGI is killed, its
workers live on and hold the port: the next start would fail on it for ever. They still carry the
process group that supervisord gave the master, and its session.

The service writes its log file itself. Through supervisord's pipe, each line of nginx's access log
would wake supervisord (70 µs of CPU a request, a third of what nginx needs), and a supervisord that
is killed would take along whoever writes next.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from stack import processes


def main(arguments: list[str]) -> None:
    """``PIDFILE LOGFILE ENTRYPOINT``"""
    pid_file, log, entrypoint = Path(arguments[0]), arguments[1], arguments[2]
    _write_to(log)
    with suppress(OSError, ValueError):
        end_group(int(pid_file.read_text(encoding="ascii")))
    pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
    os.execv(entrypoint, [entrypoint])  # noqa: S606 - that is what this is for


def _write_to(log: str) -> None:
    # The pipe stays open unused, in the service and its children: supervisord looks for a death
    # once a second, but the end of a pipe wakes it at once.
    os.set_inheritable(os.dup(1), True)
    # Appending, so that stack.local.rotate can cut the file while it is written to.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def end_group(group: int) -> None:
    """Kill what is left of *group*, if it is of our own session: the number may be reused."""
    session = os.getsid(0)

    def left() -> list[processes.Process]:
        return [p for p in processes.everything() if (p.group, p.session) == (group, session)]

    while orphans := left():
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1:])
