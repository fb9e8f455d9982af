"""`make status | head -1`: the reader of a command's output leaves before all of it is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_exit() -> Iterator[None]:
    """End with code 141, as after SIGPIPE, and without a traceback if stdout has no reader.

    Raises SystemExit then.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left to write must not fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
