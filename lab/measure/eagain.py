"""How often a worker accepts a connection that another one has already taken.

Such an accept(2) fails with EAGAIN. No counter of the process tells that, but the kernel's
tracepoint at the end of accept4(2) does, and perf counts it with little cost. Still it is a cost in
the very call that is compared, so this is a short run of its own, never part of a trial whose CPU
time is used. Only root may use tracepoints; where they cannot be had measure() says what is
missing, and everything else of an experiment goes on.

(!) EAGAIN is not the size of the herd. A worker that is woken in epoll_wait(2) looks at the socket
again before it returns, and sleeps on when the connection is gone; only those that come in between
reach accept. With 16 workers, thunder-lock off and one client at a time, 16 wake-ups a request came
with 0.2 to 0.5 EAGAIN (Linux 6.18, two cores; epoll_wait returned just as often as accept was
called). The metric `wakeups` is what tells a herd.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stack import programs

_EVENT = "syscalls:sys_exit_accept4"
_EAGAIN = 11
_EVENTS = (
    *("-e", _EVENT, "--filter", f"ret==-{_EAGAIN}"),
    *("-e", _EVENT, "--filter", "ret>=0"),
)

# perf answers a command in milliseconds, unless the machine stands still.
_PATIENCE_S = 20.0


class Arm(Protocol):
    """As much of lab.measure.arms.RunningArm as is needed."""

    def pids(self) -> Mapping[str, Sequence[int]]: ...


@dataclass(frozen=True)
class Eagain:
    """What the app's processes saw during `requests` requests: accepts that got a connection, and
    those that came too late."""

    requests: int
    accepts: int
    empty: int

    @property
    def per_request(self) -> float:
        """The metric `eagain`: accepts that found nothing, a request. 0 is ideal."""
        return self.empty / self.requests

    @property
    def per_accept(self) -> float:
        """The same by connections accepted; differs where nginx keeps connections open."""
        return self.empty / self.accepts if self.accepts else 0.0


def measure(arm: Arm, run: Callable[[], int]) -> Eagain | str:
    """Count while *run* sends requests to the arm and returns how many it sent.

    Returns a sentence for the report where it cannot be counted; *run* is then not called. Raises
    ValueError when *run* says that it sent nothing, and whatever *run* raises.
    """
    if (reason := missing()) is not None:
        return reason
    with _perf(arm.pids()["app"]) as perf:
        if (reason := perf.tell("enable")) is not None:
            return reason
        requests = run()
        if (reason := perf.tell("disable")) is not None:
            return reason
        counted = perf.counts()
    if isinstance(counted, str):
        return counted
    if requests < 1:
        raise ValueError("the run sent no request, so there is nothing to count EAGAIN by")
    empty, accepts = counted
    return Eagain(requests, accepts, empty)


def missing() -> str | None:
    """Why EAGAIN cannot be counted on this machine; None where it can."""
    path = programs.which("perf")
    if path is None:
        return (
            "EAGAIN was not counted: perf is not installed "
            "(Debian: apt-get install linux-perf; Ubuntu: linux-tools-generic)"
        )
    tried = subprocess.run(
        [path, "stat", *_EVENTS, "--", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return None
    if os.geteuid() != 0:
        return "EAGAIN was not counted: only root may use the kernel's tracepoints"
    if not any(Path(p, "events/syscalls").is_dir() for p in _TRACEFS):
        return "EAGAIN was not counted: this kernel (or container) shows no tracepoints (tracefs)"
    return f"EAGAIN was not counted: perf says {_first_line(tried.stderr)!r}"


_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


class _Perf:
    """A running `perf stat` that counts nothing until it is told to."""

    def __init__(self, process: subprocess.Popen[str], control: int, acknowledged: int) -> None:
        self._process = process
        self._control = control
        self._acknowledged = acknowledged

    def tell(self, command: str) -> str | None:
        """Return once perf has carried *command* out; a sentence when it does not."""
        try:
            os.write(self._control, f"{command}\n".encode())
        except BrokenPipeError:
            return self._fault()
        ready, _, _ = select.select([self._acknowledged], [], [], _PATIENCE_S)
        if ready and os.read(self._acknowledged, 16):
            return None
        return self._fault()

    def counts(self) -> tuple[int, int] | str:
        """End perf; EAGAINs and connections."""
        # Of the commands that perf record knows, perf stat ignores `stop`.
        self._process.send_signal(signal.SIGINT)
        try:
            said = self._process.communicate(timeout=_PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            return self._fault()
        values = [line.split(";")[0] for line in said.splitlines() if _EVENT in line]
        try:
            # Threads that slept all the time were never in a place where they could be counted.
            empty, accepts = (0 if v == "<not counted>" else int(v) for v in values)
        except ValueError:
            return f"EAGAIN was not counted: perf says {_first_line(said)!r}"
        return empty, accepts

    def _fault(self) -> str:
        self._process.kill()
        said = self._process.communicate()[1]
        return f"EAGAIN was not counted: perf says {_first_line(said)!r}"


@contextmanager
def _perf(pids: Sequence[int]) -> Iterator[_Perf]:
    """perf, attached to all threads of *pids* and to those that they will start."""
    to_perf, from_perf = os.pipe(), os.pipe()
    process = subprocess.Popen(
        [
            *(programs.which("perf") or "perf", "stat", "-x", ";", "--delay", "-1"),
            *("--control", f"fd:{to_perf[0]},{from_perf[1]}"),
            *_EVENTS,
            *("-p", ",".join(map(str, pids))),
        ],
        env={**os.environ, "LC_ALL": "C"},
        pass_fds=(to_perf[0], from_perf[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    os.close(to_perf[0])
    os.close(from_perf[1])
    try:
        yield _Perf(process, to_perf[1], from_perf[0])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
        os.close(to_perf[1])
        os.close(from_perf[0])


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
