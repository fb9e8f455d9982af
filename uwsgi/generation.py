"""One generation of the app: a uWSGI master, its workers, its mule and a directory of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from connections import accepted
from listening import Listening
from master import statistics

# A request may take STACK_HARAKIRI, 60 s at most. Below stop_grace_period in docker-compose.yml.
STOP_GRACE_SECONDS = 75

# A master without workers is importing the app and has no request to finish.
IDLE_MASTER_SECONDS = 3.0

# Workers without a request may run the app's atexit handlers, or hang in one.
IDLE_WORKERS_SECONDS = 10.0

# New workers must survive their first moment.
SETTLE_SECONDS = 1.0

PR_SET_PDEATHSIG = 1


class Generation:
    """A running master, started by the constructor. *directory* is its APP_RUN."""

    def __init__(
        self,
        number: int,
        directory: Path,
        command: list[str],
        environ: Mapping[str, str],
        listening: Listening,
        *,
        first: bool,
    ) -> None:
        self.number = number
        self.directory = directory
        self.begun = time.monotonic()
        self.code: int | None = None  # its exit code, once it has ended
        self._listening = listening
        self._accepting_since: float | None = None
        # Recycled workers end on purpose. Without an older generation the app goes on regardless.
        self._may_lose_workers = first or any(
            environ[name] != "0" for name in ("STACK_MAX_REQUESTS", "STACK_MAX_WORKER_LIFETIME")
        )
        self.accepting: set[int] = set()  # pids of its workers, without the mule
        self.has_accepted = False  # a worker may have a request
        self._known: set[int] = set()  # of all its processes, of dead ones too
        directory.mkdir(mode=0o700)
        self.pid = _start(command, {**environ, "APP_RUN": str(directory)}, listening)

    def workers(self) -> list[int]:
        """Return the pids of its workers and its mule."""
        found = children(self.pid)
        self._known.update(found)
        return found

    def requests(self, workers: list[int]) -> dict[int, int]:
        """Return how many requests each of *workers* is answering."""
        return accepted(self._listening.requests, workers)

    def is_ready(self) -> bool:
        """Whether all workers have accepted requests for a moment. RuntimeError: one has died."""
        try:
            workers = statistics(self.directory)["workers"]
        except OSError:  # the master is loading the app
            return False
        # Those that `cheaper` has not started.
        workers = [worker for worker in workers if worker["status"] != "cheap"]
        self.accepting = {worker["pid"] for worker in workers}
        self._known |= self.accepting
        self.has_accepted |= any(worker["accepting"] for worker in workers)
        for worker in workers:
            if worker["respawn_count"] > 1 and not self._may_lose_workers:
                raise RuntimeError(f"worker {worker['id']} died while it started")
        if not all(worker["pid"] and worker["accepting"] for worker in workers):
            self._accepting_since = None
            return False
        now = time.monotonic()
        self._accepting_since = self._accepting_since or now
        return now - self._accepting_since >= SETTLE_SECONDS

    def kill(self) -> None:
        # The master first, because it replaces killed workers.
        for pid in (self.pid, *family(self.pid)):
            send(signal.SIGKILL, pid)

    def remove(self, *, programs: bool = False) -> None:
        """After its end: kill workers that outlived their master, and delete its directory.

        *programs* that the app has started are killed too; their environment names the directory.
        """
        marker = f"APP_RUN={self.directory}".encode()
        for pid in children(os.getpid()):
            if pid in self._known or (programs and marker in _environment(pid)):
                send(signal.SIGKILL, pid)
        shutil.rmtree(self.directory, ignore_errors=True)


class Ending:
    """The graceful end of a generation within STOP_GRACE_SECONDS; call `step` until it has ended.

    uWSGI's own graceful stop can hang. The master signals its workers once and then waits for them
    inside the signal handler, where neither harakiri nor mercy runs. A worker that is being forked
    at that moment misses the signal, and the master never ends. So the workers are signalled again,
    and what has not ended in time is killed.
    """

    def __init__(
        self, generation: Generation, log: Callable[[str], None], *, programs: bool = False
    ) -> None:
        self.generation = generation
        self.programs = programs  # whether programs that the app has started end with it
        self.begun = self._busy_at = self._alone_since = time.monotonic()
        self.lost = 0  # requests that were cut off
        # Workers that may still accept a request, because they have neither one nor ended.
        self.idle = generation.accepting
        self._log = log
        self._interval = 0.5
        self._signal_at = self.begun + self._interval

    @property
    def ended(self) -> bool:
        return self.generation.code is not None

    def cut_off(self, why: str) -> None:
        self.lost = sum(self.generation.requests(self.generation.workers()).values())
        self._log(f"{why}: {self.lost} requests are cut off")
        self.generation.kill()

    def step(self) -> None:
        now = time.monotonic()
        workers = self.generation.workers()
        if workers:
            self._alone_since = now
        requests = self.generation.requests(workers)
        if any(requests.values()):
            self._busy_at = now
        self.idle = {pid for pid in self.idle if requests.get(pid) == 0}
        if now - self.begun > STOP_GRACE_SECONDS:
            self.cut_off(f"grace period of {STOP_GRACE_SECONDS} s is over")
        elif (
            now - self._alone_since > IDLE_MASTER_SECONDS
            or now - self._busy_at > IDLE_WORKERS_SECONDS
        ):
            self._log(f"{len(workers)} processes without a request do not end: killing them")
            self.generation.kill()
        else:
            self._ask_master(workers)
            if now >= self._signal_at:
                self._interval = min(2 * self._interval, 8.0)
                self._signal_at = now + self._interval
                for pid in workers:
                    # A worker or the mule finishes its work on SIGHUP and ends.
                    send(signal.SIGHUP, pid)

    def _ask_master(self, workers: list[int]) -> None:
        """Ask the master to stop gracefully.

        The master reads its fifo between two steps; a signal could interrupt it between the fork of
        a worker and the recording of its pid. A fifo without a reader means that the master is
        starting: SIGTERM ends it, unless it already has workers and will read the fifo soon.
        """
        fifo = self.generation.directory / "master.fifo"
        try:
            handle = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            if not workers:
                send(signal.SIGTERM, self.generation.pid)
        else:
            with contextlib.suppress(OSError):
                os.write(handle, b"q")
            os.close(handle)


def _start(command: list[str], environ: Mapping[str, str], listening: Listening) -> int:
    """Start uWSGI's master and return its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        # The kernel kills the master, and with it the workers, if this process is killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], command, {**environ, **listening.hand_over()})  # noqa: S606
    return pid


def send(number: int, pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def family(of: int) -> list[int]:
    """Return the pids of a process's descendants."""
    known = _children()
    found = [*known.get(of, ())]
    for pid in found:  # it grows meanwhile
        found += known.get(pid, ())
    return found


def children(of: int) -> list[int]:
    """Return the pids of a process's children that are not zombies."""
    return _children().get(of, [])


def _children() -> dict[int, list[int]]:
    """Return the children of every process. With 280 processes it takes 13 ms of CPU time."""
    found: dict[int, list[int]] = {}
    for process in os.scandir("/proc"):
        if not process.name.isdigit():
            continue
        try:
            text = Path(f"/proc/{process.name}/stat").read_bytes()
        except OSError:  # the process has ended
            continue
        state, parent = text[text.rindex(b")") + 2 :].split(maxsplit=2)[:2]
        if state != b"Z":
            found.setdefault(int(parent), []).append(int(process.name))
    return found


def begun(pid: int) -> int:
    """Return when the process began, in clock ticks since boot. Raises OSError if it has ended."""
    text = Path(f"/proc/{pid}/stat").read_bytes()
    state, *fields = text[text.rindex(b")") + 2 :].split()
    if state == b"Z":
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[18])


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # the process has ended
        return []
