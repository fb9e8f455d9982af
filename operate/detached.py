"""Runs a step that must be finished in a process of its own: a kill of the command spares it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from operate.undisturbed import undisturbed
from stack.errors import StackError
from stack.progress import Progress


def finished(step: Callable[[], None], progress: Progress, busy: str, killed: str) -> None:
    """Run *step* in a session of its own, which holds the locks of this process, and wait for it.

    Signals are answered with *busy*. If this process is killed meanwhile, the other one prints
    *killed* or its fault when it is done. Raises the step's StackError.
    """
    # A fork, because *step* may be any function.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=[step, here, there, killed])
    with undisturbed(progress, busy):
        process.start()
        there.close()
        fault: StackError | None = StackError("a process was killed", "repeat the command")
        with suppress(EOFError):
            fault = here.recv()
        process.join()
    if fault is not None:
        raise fault


def _run(step: Callable[[], None], here: Connection, there: Connection, killed: str) -> None:
    os.setsid()
    here.close()  # so that a send fails when the other process is gone
    fault: StackError | None = None
    try:
        step()
    except StackError as error:
        fault = error
    except Exception as error:
        fault = StackError(f"{type(error).__name__}: {error}", "repeat the command")
    try:
        there.send(fault)
    except OSError:
        with suppress(OSError):  # the terminal may be gone too
            print(f"\n{fault or killed}", file=sys.stderr, flush=True)
