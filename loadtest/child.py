"""Locust in a process of its own: how it is started so that it can be stopped.

Locust patches the interpreter that it runs in, so nothing else may live there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parent.parent


def start(
    locustfile: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``locust -f`` *locustfile* with *arguments* and our environment and *environment*.

    It gets a session of its own: a terminal's Ctrl-C would reach it a second time, in the middle of
    its report. Whoever starts it passes the signal on.
    """
    heed_interrupts()
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "locust", f"--locustfile={locustfile}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
    )


def heed_interrupts() -> None:
    """Hear SIGINT even if we were started to ignore it.

    A shell starts `… &` so, and what is ignored is inherited: Locust would not hear us either.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
