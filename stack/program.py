"""Becomes a service's entrypoint, after ending what a killed predecessor has left.

supervisord starts every service through this. When the master of nginx or of uWSGI is killed, its
workers live on and hold the port: the next start would fail on it for ever. They still carry the
process group that supervisord gave the master, and its session.
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
    """``PIDFILE ENTRYPOINT``"""
    pid_file, entrypoint = Path(arguments[0]), arguments[1]
    with suppress(OSError, ValueError):
        end_group(int(pid_file.read_text(encoding="ascii")))
    pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
    os.execv(entrypoint, [entrypoint])  # noqa: S606 - that is what this is for


def end_group(group: int) -> None:
    """Kill what is left of *group*, if it is of our own session: the number may be reused."""

    def left() -> list[processes.Process]:
        session = os.getsid(0)
        return [p for p in processes.everything() if (p.group, p.session) == (group, session)]

    while orphans := left():
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1:])
