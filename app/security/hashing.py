"""Password hashes. They are slow by design, so the number of parallel ones is limited.

One hash takes about 50 ms of a core and 19 MiB. Anybody can request a login, so without a limit a
few clients keep every core busy and all pages wait. No other file uses argon2-cffi.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import argon2
from werkzeug.exceptions import ServiceUnavailable

Result = TypeVar("Result")

# Beside a busy page a hash gets about a tenth of a core; on an idle core all of it.
NICENESS = 10


class Argon2Hasher:
    """argon2id with OWASP's minimum: 19 MiB, 2 passes, 1 lane (about 50 ms of a core).

    Override its parameters in a subclass, or its methods, which must be thread-safe, for another
    kind of hash. Hashes are renewed at the next login.
    """

    memory_kib = 19 * 1024
    passes = 2
    lanes = 1

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=self.passes, memory_cost=self.memory_kib, parallelism=self.lanes
        )

    def hash(self, password: str) -> str:
        """A new salted hash with its parameters, as text to store."""
        return self._argon2.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether *password_hash* is of *password*. False for a hash of an unknown kind."""
        try:
            return self._argon2.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether *password_hash* has other parameters than a new one."""
        return self._argon2.check_needs_rehash(password_hash)


def at_low_priority(work: Callable[[], Result]) -> Result:
    """Run *work* in a thread with low priority and return its result.

    A hash holds its core for 50 ms, which delays a page on the same core. On Linux the nice value
    belongs to the thread and only root can lower it again, so each hash has a thread of its own.
    """
    with ThreadPoolExecutor(1, "hashing", _be_nice) as thread:
        return thread.submit(work).result()


def _be_nice() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class HashingBusy(ServiceUnavailable):
    """Too many hashes are in progress: a login is refused, so that pages stay responsive."""


class HashingGate:
    """Limits the hashes that run at once to *slots* over all processes with the same *name*.

    A slot is an advisory lock (flock) on a file: the kernel releases it when its holder is killed.
    The default leaves one core to pages and is at most 15, because of the container's memory. Each
    waiting caller holds a thread that could serve pages, so at most twice as many may wait, for
    *patience* seconds; the others get HashingBusy.
    """

    def __init__(self, name: str, *, slots: int | None = None, patience: float = 0.5) -> None:
        self.slots = slots or max(1, min(15, len(os.sched_getaffinity(0)) - 1))
        self.room = 2 * self.slots
        self.patience = patience
        self.folder = Path(tempfile.gettempdir()) / f"hashing-{name}-{os.getuid()}"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        slot = self._take("slot", self.slots)
        if slot is None:
            slot = self._wait()
        try:
            yield
        finally:
            os.close(slot)

    def _wait(self) -> int:
        place = self._take("place", self.room)
        if place is None:
            raise HashingBusy(retry_after=2)
        try:
            deadline = time.monotonic() + self.patience
            while time.monotonic() < deadline:
                time.sleep(0.005)
                if (slot := self._take("slot", self.slots)) is not None:
                    return slot
        finally:
            os.close(place)
        raise HashingBusy(retry_after=2)

    def _take(self, kind: str, count: int) -> int | None:
        """Lock one of *count* files. Returns its descriptor, which holds the lock, or None."""
        folder = self._checked_folder()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        for number in range(count):
            descriptor = os.open(folder / f"{kind}-{number}", flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                return descriptor
        return None

    def _checked_folder(self) -> Path:
        """The folder of the lock files. Other users must not be able to put links into it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(
                f"{self.folder}: not a directory of ours that nobody else may write to: remove it"
            )
        return self.folder
