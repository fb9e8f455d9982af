"""Kills the remains of a service's previous run, then executes the service's entrypoint.

supervisord starts every service through this program. When the master of nginx or uWSGI is killed,
its workers survive and hold the port, and no later start could bind it. They are still in the
process group and session that supervisord gave the master.

The service writes its log file itself. Through supervisord's pipe every line of the access log
would wake supervisord (70 µs of CPU per request, a third of nginx's own), and after supervisord was
killed the next write would kill the service.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from stack import processes, project
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.state import State
from toggles import PREFIX, of_service


def main(arguments: list[str]) -> None:
    """``SERVICE PIDFILE LOGFILE ENTRYPOINT``"""
    service, pid_file, log, entrypoint = arguments[0], Path(arguments[1]), *arguments[2:]
    _write_to(log)
    with suppress(OSError, ValueError):
        end_group(int(pid_file.read_text(encoding="ascii")))
    pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
    # A deploy may have changed settings since supervisord started.
    state = State.load(pid_file.with_name("state.json"))
    environ = environment_of(service, {**os.environ, **(state.toggles if state else {})})
    if service == "app":
        try:
            environ |= project.variables(CHECKOUT, environ)
        except StackError as error:
            sys.exit(f"stack: {error}")
        os.chdir(CHECKOUT / project.FOLDER)
    os.execve(entrypoint, [entrypoint], environ)  # noqa: S606 - the purpose of this program


def environment_of(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with no other toggles than those that *service* reads."""
    others = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    return others | of_service(service, environ)


def _write_to(log: str) -> None:
    # The unused pipe stays open in the service and its children: its end wakes supervisord at once,
    # which otherwise checks once a second for a process that ended.
    os.set_inheritable(os.dup(1), True)
    # O_APPEND lets stack.local.rotate truncate the file while it is written to.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def end_group(group: int) -> None:
    """Kill the processes of *group* in our own session; elsewhere the number may be reused."""
    session = os.getsid(0)

    def left() -> list[processes.Process]:
        return [p for p in processes.running() if (p.group, p.session) == (group, session)]

    while orphans := left():
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1:])
