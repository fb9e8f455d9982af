"""Counts accept(2) calls that find no connection because another worker has taken it.

Such a call fails with EAGAIN. The kernel's tracepoint at the end of accept4(2) reports it, and perf
counts that. perf adds a cost to the call itself, so the count is a short run of its own, outside of
the trials whose CPU time is used. Only root may use tracepoints; elsewhere measure() returns what
is missing.

EAGAIN is not the size of the thundering herd. A worker that is woken in epoll_wait(2) checks the
socket before it returns, and sleeps on if the connection is gone; only workers that check at the
same moment call accept. With 16 workers, thunder-lock off and one client, 16 wake-ups per request
came with 0.2 to 0.5 EAGAIN (Linux 6.18, two cores; epoll_wait returned as often as accept was
called). The metric `wakeups` shows the herd.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stack import programs

_EVENT = ("-e", "syscalls:sys_exit_accept4", "--filter", "ret==-11")  # 11 is EAGAIN
_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_PATIENCE_S = 20.0  # perf takes milliseconds to attach and to end


class Arm(Protocol):
    """The part of RunningArm that is used here."""

    def pids(self) -> Mapping[str, Sequence[int]]: ...


def measure(arm: Arm, run: Callable[[], int]) -> float | str:
    """Return EAGAINs per request while *run* sends requests to *arm* and returns their number.

    If they cannot be counted, return the reason as a sentence; *run* is not called then.
    """
    if (reason := missing()) is not None:
        return reason
    pids = ",".join(map(str, arm.pids()["app"]))
    command = [programs.which("perf") or "perf", "stat", "-x;", "--delay=-1", *_EVENT, "-p", pids]
    control, acknowledged = os.pipe(), os.pipe()
    with subprocess.Popen(
        [*command, f"--control=fd:{control[0]},{acknowledged[1]}"],
        env={**os.environ, "LC_ALL": "C"},
        pass_fds=(control[0], acknowledged[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as perf:
        try:
            os.close(control[0])
            os.close(acknowledged[1])
            with suppress(BrokenPipeError):
                os.write(control[1], b"enable\n")
            if not select.select([acknowledged[0]], [], [], _PATIENCE_S)[0]:
                return f"EAGAIN was not counted: perf did not attach within {_PATIENCE_S:g} s"
            if not os.read(acknowledged[0], 16):  # perf has ended
                return _reason(perf.communicate()[1])
            requests = run()
            perf.send_signal(signal.SIGINT)
            output = perf.communicate(timeout=_PATIENCE_S)[1]
        finally:
            perf.kill()
            os.close(control[1])
            os.close(acknowledged[0])
    counts = [line.split(";")[0] for line in output.splitlines() if "sys_exit_accept4" in line]
    if counts == ["<not counted>"]:  # no thread was running
        return 0.0
    return int(counts[0]) / requests if counts and counts[0].isdigit() else _reason(output)


def missing() -> str | None:
    """Why EAGAIN cannot be counted on this machine; None if it can."""
    perf = programs.which("perf")
    if perf is None:
        return (
            "EAGAIN was not counted: perf is not installed "
            "(Debian: apt-get install linux-perf; Ubuntu: linux-tools-generic)"
        )
    try:
        tried = subprocess.run(
            [perf, "stat", *_EVENT, "--", "true"],
            capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"EAGAIN was not counted: perf does not answer within {_PATIENCE_S:g} s"
    if tried.returncode == 0:
        return None
    if os.geteuid() != 0:
        return "EAGAIN was not counted: only root may use the kernel's tracepoints"
    if not any(Path(folder, "events/syscalls").is_dir() for folder in _TRACEFS):
        return "EAGAIN was not counted: this kernel (or container) shows no tracepoints (tracefs)"
    return _reason(tried.stderr)


def _reason(output: str) -> str:
    lines = (line.strip() for line in output.splitlines())
    return f"EAGAIN was not counted: perf reports {next(filter(None, lines), 'nothing')!r}"
