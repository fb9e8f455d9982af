"""The start of this generation of uWSGI, from its own log, with the meaning of each line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from app.inside.server import uwsgi

# With 128 workers there are more.
MOST_LINES = 60


class Line(NamedTuple):
    """A line of the log. *text* is all of it in the log, and its beginning in KNOWN."""

    step: str
    text: str
    meaning: str


KNOWN = (
    Line("Setup", "[uWSGI] getting INI configuration from ", "uWSGI reads its options"),
    Line("Setup", "*** Starting uWSGI ", "its version, and the time of this start"),
    Line("Setup", "detected number of CPU cores: ", "of the machine; no option depends on it"),
    Line("Setup", "detected max file descriptor number: ", "of a process (STACK_MAX_FD)"),
    Line(
        "Setup",
        "lock engine: ",
        "locks that processes share; “robust”: if a process dies with one, the others go on",
    ),
    Line("Setup", "thunder lock: ", "whether one thread at a time waits at the socket"),
    Line(
        "Setup",
        "- SystemD socket activation detected -",
        "the entrypoint has opened the sockets and hands them over as systemd would",
    ),
    Line("Setup", "uwsgi socket ", "a listening socket, which nginx connects to"),
    Line("Plugins", "Python version: ", "the plugin for Python is part of the program"),
    Line("Plugins", "Python main interpreter initialized ", "Python runs in the master now"),
    Line("Plugins", "python threads support enabled", "the app may run threads"),
    Line(
        "Setup", "your server socket listen backlog is ", "the length of its queue (STACK_LISTEN)"
    ),
    Line(
        "Setup",
        "your mercy for graceful operations on workers is ",
        "a worker that is replaced may finish its requests for so long",
    ),
    Line(
        "Setup",
        "mapped ",
        "memory that master and workers share; a “core” is the place of a thread",
    ),
    Line(
        "Setup",
        "*** Operational MODE: ",
        "preforking: several processes; threaded: several threads in each",
    ),
    Line("App", "STACK_APP=", "where the app was found"),
    Line(
        "App",
        "WSGI app 0 ",
        "the app is imported, by the process with this pid: the master, unless lazy-apps is on",
    ),
    Line("Fork", "spawned uWSGI master process ", "the master is this process itself"),
    Line("Fork", "spawned uWSGI worker ", "a copy of the master, which answers requests"),
    Line("Fork", "*** Stats server enabled ", "where the page of the workers reads its figures"),
    Line("Fork", "spawned uWSGI mule ", "a process without requests: it serves /metrics"),
    Line("Hooks", 'running "', "a hook of uwsgi.ini: here, SIGTERM becomes a graceful stop"),
)


@cache
def lines() -> tuple[Line, ...]:
    """The known lines of this generation's start; none where the log cannot be read.

    In a container the log is a pipe to the engine. The log of local processes is a file.
    """
    if uwsgi is None or not stat.S_ISREG(os.fstat(2).st_mode):
        return ()
    with (
        suppress(OSError),  # it belongs to another user
        Path("/proc/self/fd/2").open(encoding="utf-8", errors="replace") as log,
    ):
        return of_master(uwsgi.masterpid(), log)
    return ()


def of_master(pid: int, log: Iterable[str]) -> tuple[Line, ...]:
    """The known lines of the start of the master with this pid. *log* may have several starts."""
    found: list[Line] = []
    is_ours = False
    for text in log:
        known = next((line for line in KNOWN if text.startswith(line.text)), None)
        if known is None:
            continue
        if known in KNOWN[:2]:  # a start begins with these two
            if is_ours:
                break
            found = [line for line in found[-1:] if line.meaning == KNOWN[0].meaning]
        found.append(known._replace(text=text.strip()))
        is_ours = is_ours or text.startswith(f"spawned uWSGI master process (pid: {pid})")
    return tuple(found[:MOST_LINES]) if is_ours else ()
