"""Password hashes. They are slow by design, so the number of parallel ones is limited.

One hash takes about 50 ms of a core and 19 MiB. Anybody can request a login, so without a limit a
few clients keep every core busy and all pages wait. `HashingGate` limits the hashes that run at
once over all worker processes and rejects the rest.

No other file uses argon2-cffi.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
import time
from abc import ABC, abstractmethod
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


class PasswordHasher(ABC):
    """The password hash that the SecurityManager uses. All three methods must be thread-safe."""

    @abstractmethod
    def hash(self, password: str) -> str:
        """A new salted hash with its parameters, as text to store."""

    @abstractmethod
    def verify(self, password_hash: str, password: str) -> bool:
        """Whether *password_hash* is of *password*. False for a hash of an unknown kind."""

    @abstractmethod
    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the parameters of *password_hash* differ from those of `hash`."""


class Argon2Hasher(PasswordHasher):
    """argon2id with OWASP's minimum: 19 MiB, 2 passes, 1 lane (about 50 ms of a core).

    To change the parameters, override them in a subclass. Hashes are renewed at the next login.
    """

    memory_kib = 19 * 1024
    passes = 2
    lanes = 1

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=self.passes, memory_cost=self.memory_kib, parallelism=self.lanes
        )

    def hash(self, password: str) -> str:
        return self._argon2.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def needs_rehash(self, password_hash: str) -> bool:
        return self._argon2.check_needs_rehash(password_hash)


def at_low_priority(work: Callable[[], Result]) -> Result:
    """Run *work* in a thread of this process with low priority and return its result.

    A hash holds its core for 50 ms, which delays a page on the same core. On Linux the nice value
    belongs to the thread and only root can lower it again, so the thread is a separate one.
    """
    return _background().submit(work).result()


def _background() -> ThreadPoolExecutor:
    found = _backgrounds.get(os.getpid())
    if found is None:
        # Threads do not survive a fork, so the parent's executor is useless in a worker.
        _backgrounds.clear()
        found = _backgrounds[os.getpid()] = ThreadPoolExecutor(
            thread_name_prefix="hashing", initializer=_be_nice
        )
    return found


def _be_nice() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_backgrounds: dict[int, ThreadPoolExecutor] = {}


class HashingBusy(ServiceUnavailable):
    """Too many hashes are in progress. Answers 503, so that pages stay responsive."""

    def __init__(self) -> None:
        super().__init__(retry_after=2)


class HashingGate:
    """Limits the hashes that run at once to *slots* over all processes with the same *name*.

    A slot is an advisory lock (flock) on a file: it works with and without preforking, for any
    number of workers, and the kernel releases it when its holder is killed. The default leaves one
    core to pages. Each waiting caller holds a thread that could serve pages, so at most twice as
    many may wait, for *patience* seconds; the others get HashingBusy.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int | None = None,
        patience: float = 0.5,
        folder: Path | None = None,
    ) -> None:
        self.slots = slots or max(1, len(os.sched_getaffinity(0)) - 1)
        self.room = 2 * self.slots
        self.patience = patience
        self._folder = (folder or Path(tempfile.gettempdir())) / f"hashing-{name}-{os.getuid()}"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._take("slot", self.slots) or self._wait():
            yield

    def _wait(self) -> _Lock:
        place = self._take("place", self.room)
        if place is None:
            raise HashingBusy
        with place:
            deadline = time.monotonic() + self.patience
            while time.monotonic() < deadline:
                time.sleep(0.005)
                if (slot := self._take("slot", self.slots)) is not None:
                    return slot
        raise HashingBusy

    def _take(self, kind: str, count: int) -> _Lock | None:
        folder = self._checked_folder()
        for number in range(count):
            if (lock := _Lock.take(folder / f"{kind}-{number}")) is not None:
                return lock
        return None

    def _checked_folder(self) -> Path:
        """The folder of the lock files. Other users must not be able to put links into it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(
                f"{self._folder}: must be a directory of uid {os.getuid()} that nobody else may "
                "write to; remove it, or point TMPDIR at a private directory"
            )
        return self._folder


class _Lock:
    """A held advisory lock. Leaving the `with` block releases it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> _Lock | None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def __enter__(self) -> _Lock:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._descriptor)
