"""Runs one generation, and replaces it by a new one when a reload is asked for.

A reload starts a second master beside the first, on the same listening sockets. When its workers
accept requests, the first master ends: it finishes its requests within STOP_GRACE_SECONDS. If the
new master does not get that far, the first one goes on as if nothing had happened. If the new one
fails when its workers accept requests already, it is the one that finishes them and ends.

At most one generation drains. If it still does when the next one begins to, what is left of its
requests is cut off.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import memory
from generation import Ending, Generation, begun, children, family, send
from listening import Listening

STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
HANDLED = STOPS | {signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD}

# Between two looks at a generation that starts or ends.
START_LOOK_S = 0.1
END_LOOK_S = 0.25

# For the old master to pass the order to end on to its idle workers.
HAND_OVER_S = 5.0

MEGABYTE = 1 << 20


class SwapRefused(Exception):
    """A reload has failed. The text says why, on one or more lines."""


@dataclass
class Status:
    """What uwsgi/reload reads from APP_RUN/status.json."""

    pid: int = field(default_factory=os.getpid)
    begun: int = field(default_factory=lambda: begun(os.getpid()))
    started: int = 0  # the number of the last generation that was started
    serving: int = 0
    failure: str = ""  # why the last one did not serve
    deadline_s: int = 0

    @property
    def starting(self) -> bool:
        return self.serving != self.started and not self.failure


class Masters:
    """The generations of one app. *settings* returns the command and the environment of a master.

    It is called for each generation and raises SwapRefused if a setting is not allowed.
    """

    def __init__(
        self,
        run: Path,
        listening: Listening,
        settings: Callable[[], tuple[list[str], dict[str, str]]],
        log: Callable[[str], None],
    ) -> None:
        self._run = run
        self._listening = listening
        self._settings = settings
        self._log = log
        self._status = Status()
        self._current: Generation | None = None
        self._starting: Generation | None = None
        self._draining: Ending | None = None
        self._asked = False
        self._start_timeout = 0.0
        self._backlog = 0
        self._log_begun = 0
        self._unsaved = False

    def run(self) -> int:
        """Serve until a signal ends it, or until the serving master ends; return the exit code."""
        for leftover in self._run.glob("[0-9]*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._begin()
        while True:
            self._reap()
            serving = self._current or self._starting
            if serving is None or serving.code is not None:
                return self._crashed(serving)
            self._look()
            if self._unsaved:
                self._save()
            if self._asked and self._starting is None:
                self._asked = False
                self._swap()
            number = self._signal()
            if number == signal.SIGHUP:
                self._asked = True
            elif number == signal.SIGUSR1 and self._current and self._starting:
                self._discard(self._starting, "the reload was interrupted")
            elif number in STOPS:
                return self._stop()

    def _signal(self) -> int:
        """Wait for a signal; while a generation starts or ends, only until the next look at it."""
        if not (self._starting or self._draining or self._unsaved):
            return signal.sigwaitinfo(HANDLED).si_signo
        seconds = START_LOOK_S if self._status.starting else END_LOOK_S
        received = signal.sigtimedwait(HANDLED, seconds)
        return received.si_signo if received else 0

    # ── Swap ────────────────────────────────────────────────────────────────────────────────────

    def _swap(self) -> None:
        try:
            self._require_memory()
            self._begin()
        except (SwapRefused, OSError) as error:  # no process or file can be made
            self._status.started += 1
            shutil.rmtree(self._run / str(self._status.started), ignore_errors=True)
            self._failed(str(error))

    def _require_memory(self) -> None:
        current = self._current
        room = memory.left()
        if current is None:
            return
        needed = memory.used_by([current.pid, *family(current.pid)])
        self._log(f"starting a second master; the first one takes {needed // MEGABYTE} MB")
        if room and needed > room[1]:
            raise SwapRefused(
                f"a second master needs {needed // MEGABYTE} MB, and {room[1] // MEGABYTE} of "
                f"{room[0] // MEGABYTE} MB are left: raise the memory limit (APP_MEMORY), or use "
                "`make down up`"
            )

    def _begin(self) -> None:
        command, environ = self._settings()
        self._backlog = int(environ["STACK_LISTEN"])
        self._start_timeout = float(environ["STACK_START_TIMEOUT"])
        self._log_begun = os.fstat(2).st_size
        number = self._status.started + 1
        self._starting = Generation(
            number,
            self._run / str(number),
            command,
            environ,
            self._listening,
            first=self._current is None,
        )
        self._status.started, self._status.failure = number, ""
        self._status.deadline_s = int(self._start_timeout)
        if self._current is None:
            self._link(self._starting)
            self._listening.publish()
        self._save()

    def _look(self) -> None:
        """Take the next step of the generations that start and drain."""
        if self._draining:
            self._drain(self._draining)
        new = self._starting
        if new is None:
            if self._current and self._old_code_is_gone():
                self._serves(self._current)
            return
        waited = time.monotonic() - new.begun
        try:
            if new.code is not None:
                raise RuntimeError(f"it ended with exit code {new.code}")
            if new.is_ready():
                self._promote(new)
            elif self._current and waited > self._start_timeout:
                raise RuntimeError(
                    f"its workers accept no requests after {self._start_timeout:.0f} s "
                    "(STACK_START_TIMEOUT)"
                )
        except (RuntimeError, OSError) as error:
            if self._current not in (None, new):
                self._discard(new, str(error))
            elif isinstance(error, OSError):
                raise

    def _old_code_is_gone(self) -> bool:
        """Whether no new request reaches the old master any more."""
        if self._status.serving == self._status.started or self._status.failure:
            return False  # no swap has just been done
        old = self._draining
        return old is None or not old.idle or time.monotonic() - old.begun > HAND_OVER_S

    def _promote(self, new: Generation) -> None:
        # First what can fail: the old generation then goes on. The link is last, because it is the
        # step that the old generation could not go on with.
        self._listening.set_backlog(self._backlog)
        self._listening.publish()
        self._link(new)
        old, self._current, self._starting = self._current, new, None
        if old is None:
            self._serves(new)
            return
        self._log(f"generation {new.number} serves; generation {old.number} finishes its requests")
        self._end(Ending(old, self._log))

    def _serves(self, new: Generation) -> None:
        self._status.serving = new.number
        self._save()

    def _end(self, ending: Ending) -> None:
        if self._draining:
            self._draining.cut_off(
                f"generation {self._draining.generation.number} ends, because the next one drains"
            )
            while not self._draining.ended:
                self._wait(END_LOOK_S)
            self._drain(self._draining)
        self._draining = ending
        ending.step()

    def _drain(self, ending: Ending) -> None:
        if not ending.ended:
            ending.step()
            return
        ending.generation.remove(programs=ending.programs)
        took = time.monotonic() - ending.begun
        self._log(f"generation {ending.generation.number} ended after {took:.1f} s")
        self._draining = None

    def _discard(self, new: Generation, why: str) -> None:
        reason = _tail(new.directory / "error") or self._end_of_log()
        if new.has_accepted and new.code is None:
            self._end(Ending(new, self._log, programs=True))
        else:
            new.kill()
            while new.code is None:
                self._wait(END_LOOK_S)
            new.remove(programs=True)
        self._starting = None
        self._failed(f"{why}\n{reason}".rstrip())

    def _failed(self, why: str) -> None:
        self._status.failure = why
        self._save()
        old = self._status.serving
        # The rest of *why* is in the log already.
        reason = why.partition("\n")[0]
        self._log(f"generation {self._status.started} does not serve, {old} goes on: {reason}")

    def _end_of_log(self) -> str:
        """Return the last lines since the start, if the log is a file that can be read."""
        if not stat.S_ISREG(os.fstat(2).st_mode):
            return ""
        return _tail(Path("/proc/self/fd/2"), min(self._log_begun, os.fstat(2).st_size))

    def _link(self, generation: Generation) -> None:
        """Point APP_RUN/current to *generation*. The link's age is the time of the last swap."""
        fresh = self._run / "next"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(generation.directory.name)
        fresh.replace(self._run / "current")

    def _save(self) -> None:
        fresh = self._run / "status.new"
        values = {**vars(self._status), "starting": self._status.starting}
        try:
            fresh.write_text(json.dumps(values), encoding="utf-8")
            fresh.replace(self._run / "status.json")
            self._unsaved = False
        except OSError as error:  # as on a full disk, or without a free file descriptor
            if not self._unsaved:
                self._log(f"cannot write status.json, and goes on trying: {error}")
            self._unsaved = True
            # Without the file, uwsgi/reload fails instead of waiting.
            (self._run / "status.json").unlink(missing_ok=True)

    # ── End ─────────────────────────────────────────────────────────────────────────────────────

    def _alive(self) -> list[Generation]:
        drained = self._draining.generation if self._draining else None
        known = (self._starting, self._current, drained)
        return [one for one in known if one is not None and one.code is None]

    def _reap(self) -> None:
        """Reap ended children, orphans of the app among them."""
        masters = {generation.pid: generation for generation in self._alive()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in masters:
                code = os.waitstatus_to_exitcode(status)
                masters[pid].code = code if code >= 0 else 128 - code

    def _wait(self, seconds: float) -> None:
        """Wait for the end of a child, at most *seconds*."""
        signal.sigtimedwait({signal.SIGCHLD}, seconds)
        self._reap()

    def _crashed(self, serving: Generation | None) -> int:
        """The serving master has ended, or the first one did not start."""
        for generation in self._alive():
            generation.kill()
        while self._alive():
            self._wait(END_LOOK_S)
        self._end_orphans()
        return serving.code if serving and serving.code is not None else 1

    def _stop(self) -> int:
        """End all generations; requests have STOP_GRACE_SECONDS to finish."""
        self._log("stopping: waiting for requests in flight")
        begun = time.monotonic()
        drained = self._draining.generation if self._draining else None
        endings = [Ending(one, self._log) for one in self._alive() if one is not drained]
        endings += [self._draining] if self._draining else []
        while self._alive():
            for ending in endings:
                if not ending.ended:
                    ending.step()
            self._wait(END_LOOK_S)
        self._end_orphans()
        (self._run / "status.json").unlink(missing_ok=True)
        for ending in endings:
            ending.generation.remove(programs=ending.programs)
        if any(ending.lost for ending in endings):
            return 1
        self._log(f"stopped after {time.monotonic() - begun:.1f} s, no request lost")
        return 0

    def _end_orphans(self) -> None:
        """Kill what the masters left behind: workers of a crashed master still hold the sockets."""
        deadline = time.monotonic() + 5.0
        while (orphans := children(os.getpid())) and time.monotonic() < deadline:
            for pid in orphans:
                send(signal.SIGKILL, pid)
            self._wait(0.02)


def _tail(file: Path, begin: int = 0) -> str:
    """Return the last lines of *file* after *begin* bytes; nothing if there is no such file."""
    try:
        text = file.read_bytes()[begin:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-12:])


def read_status(run: Path) -> dict[str, Any]:
    """Return the content of the status file. Raises OSError without an entrypoint.

    A killed entrypoint leaves the file behind, and another process may get its pid.
    """
    status: dict[str, Any] = json.loads((run / "status.json").read_text(encoding="utf-8"))
    if begun(status["pid"]) != status["begun"]:
        raise ProcessLookupError(f"process {status['pid']} is another program")
    return status
