"""The data of a copy's Redis: copied while it runs, and replaced by those of a backup.

The work is done by the script `redis-data`, beside Redis in both runtimes.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from operate import in_service
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.local.supervisor import Supervisor
from stack.runtime import Runtime

SCRIPT = Path(__file__).with_name("redis-data").read_text(encoding="utf-8")
# From its start until Redis has loaded its data.
START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Counts:
    """What a Redis holds. `changes` and `expired` are counters, not sizes."""

    keys: int
    expiring: int
    changes: int
    expired: int
    redis: str
    bytes: int = 0  # of the file that holds it
    memory: int = 0  # bytes in use
    limit: int = 0  # bytes that it may use; 0: no limit

    @classmethod
    def parse(cls, line: str) -> Counts:
        pairs = dict(word.split("=") for word in line.split())
        redis = pairs.pop("redis")
        return cls(**{name: int(number) for name, number in pairs.items()}, redis=redis)

    @property
    def lasting(self) -> int:
        """The keys without an expiry: accounts, posts, most of an app's own."""
        return self.keys - self.expiring

    def __str__(self) -> str:
        return f"{self.lasting} keys without and {self.expiring} with an expiry"


class RedisData:
    """The data of *runtime*'s Redis. Every method raises StackError when it fails."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def live(self) -> Counts:
        """Count what the running Redis holds."""
        words = in_service.command(self._runtime, "redis", "sh", "-c", SCRIPT, "redis-data", "live")
        text = in_service.output(self._runtime, words, "the count of Redis's keys")
        return Counts.parse(text.decode())

    def copy(self) -> Counts:
        """Copy the data as they are now, compare the copy with them, and return its counts."""
        before = self.live()
        lines = self._beside("copy").splitlines()
        after = self.live()
        loaded, saved = (Counts.parse(line) for line in lines[:2])
        if fault := difference(before, after, loaded, saved):
            raise StackError(f"the copy is not what Redis holds: {fault}", "repeat the command")
        return replace(saved, bytes=int(lines[2].partition("=")[2]))

    def open_copy(self) -> subprocess.Popen[bytes]:
        """Start a program that writes the copy, an RDB file, to its output."""
        return subprocess.Popen(
            self._words("print-copy"),
            env=in_service.environment(self._runtime),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )

    def drop_copy(self) -> None:
        self._beside("drop-copy")

    def stage(self, rdb: IO[bytes], maxmemory: str = "") -> tuple[Counts, Counts]:
        """Prepare the data of an RDB file to be put in force, with all its sessions ended.

        Return what it holds before and after that. *maxmemory*, if any, is REDIS_MAXMEMORY.
        """
        size_kb = os.fstat(rdb.fileno()).st_size // 1024 + 1
        done = subprocess.run(
            self._words("stage", str(size_kb), maxmemory),
            env=in_service.environment(self._runtime),
            stdin=rdb,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            log = done.stderr.decode(errors="replace").strip()
            raise StackError("the data of the backup were not loaded; nothing was changed", log=log)
        before, after = (Counts.parse(line) for line in done.stdout.decode().splitlines())
        return before, after

    def limit(self, staged: Counts) -> int:
        """Return the bytes that Redis may use, 0 for any: as it runs, or as it would start."""
        try:
            return self.live().limit
        except StackError:
            return staged.limit

    def drop_stage(self) -> None:
        self._beside("drop-stage")

    def put_in_force(
        self, expected: Counts, password: bytes = b"", present_password: bytes = b""
    ) -> None:
        """Serve the staged data. The replaced data are deleted only when Redis has served them.

        If it does not, the replaced data are served again. If the stack is down, the replaced
        data stay. *password*, if any, takes the place of *present_password*.
        """
        runs = self._should_run()
        switched = False
        try:
            if runs:
                self._stop()
            self._beside("switch")
            switched = True
            if password:
                self._beside("password", given=password)
            if runs:
                self._start()
                found = self.live()
                if found.lasting < expected.lasting:
                    raise StackError(f"Redis has {found} instead of {expected}")
                self._beside("forget")
        except BaseException:
            if runs:
                self._stop()
            if switched:
                self._beside("back")
            if present_password:
                self._beside("password", given=present_password)
            if runs:
                self._start()
            raise

    def _should_run(self) -> bool:
        """Whether the stack is up. Redis may be stopped: by a restore that the machine cut off."""
        runtime = self._runtime
        if isinstance(runtime, ComposeRuntime):
            return any(container.state == "running" for container in runtime.replicas())
        assert isinstance(runtime, LocalRuntime)  # noqa: S101 - there are two runtimes
        return runtime.is_started()

    def _stop(self) -> None:
        if isinstance(self._runtime, ComposeRuntime):
            self._runtime.compose("stop", "redis")
        else:
            self._supervisor().stop_program("redis")

    def _start(self) -> None:
        if isinstance(self._runtime, ComposeRuntime):
            self._runtime.compose("start", "redis")
        else:
            self._supervisor().start_program("redis")
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with suppress(StackError):
                self.live()
                return
            time.sleep(0.1)
        log = self._runtime.log("redis", lines=12)
        raise StackError(f"Redis does not answer after {START_TIMEOUT_S:.0f} s", log=log)

    def _supervisor(self) -> Supervisor:
        assert isinstance(self._runtime, LocalRuntime)  # noqa: S101 - see above
        run = Path(self._runtime.state().run)
        return Supervisor(run, run, run)

    def _words(self, *task: str) -> list[str]:
        return in_service.beside_redis(self._runtime, "sh", "-c", SCRIPT, "redis-data", *task)

    def _beside(self, task: str, given: bytes = b"") -> str:
        words = self._words(task)
        return in_service.output(self._runtime, words, f"redis-data {task}", given).decode()


def difference(before: Counts, after: Counts, loaded: Counts, saved: Counts) -> str:
    """Return in which way a copy is not between two counts of a running Redis; "" if it is.

    *loaded*: the copy when it was loaded; *saved*: what was saved of it, loaded again. Each change
    may have added or removed a key, so without changes the counts must be equal.
    """
    changes = after.changes - before.changes
    expired = after.expired - before.expired
    if changes < 0 or expired < 0:
        return "Redis was restarted meanwhile"
    if abs(loaded.lasting - before.lasting) > changes:
        return f"it has {loaded}, Redis has {before} and made {changes} changes meanwhile"
    if abs(loaded.expiring + loaded.expired - before.expiring) > changes + expired:
        return f"it has {loaded}, Redis has {before}, made {changes} changes, expired {expired}"
    if saved.lasting != loaded.lasting or saved.expiring > loaded.expiring:
        return f"{loaded} were saved, and {saved} loaded again"
    return ""
