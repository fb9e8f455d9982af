"""One command that changes or copies the data or the secrets of a copy at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.runtime import Runtime


@contextmanager
def one_at_a_time(runtime: Runtime) -> Iterator[None]:
    """Raises StackError if another such command runs for this copy."""
    file = CHECKOUT / "run" / runtime.name / "operate.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"another backup, deploy, restore or rotation of {runtime.name} is running",
                "repeat the command when it is done",
            ) from None
        yield
