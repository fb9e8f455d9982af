"""Starts Locust in a process of its own, because it patches the interpreter that it runs in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[2]


def start(
    locustfile: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``locust -f`` *locustfile* with *arguments* and our environment and *environment*.

    LOCUST_… variables of ours are dropped: Locust reads them as options. The process gets a
    session of its own, because a Ctrl-C of the terminal would reach it a second time, in the middle
    of its report. The caller passes signals on.
    """
    accept_interrupts()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    paths = [str(CHECKOUT), ours.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest.plain_locust", f"-f={locustfile}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env={**ours, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
    )


def accept_interrupts() -> None:
    """Handle SIGINT even if we were started with it ignored.

    A shell starts background jobs so, and Locust would inherit it.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
