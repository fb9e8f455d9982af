"""Makes harakiri exact with threads.

uWSGI has one deadline for a worker, and each request that ends clears it: a request that hangs
occupies its thread without a limit while the worker's other threads answer. Here each thread has a
deadline. When one has passed, the log gets the line of code that the thread is at, and uWSGI's
master is made to kill the worker.

(!) C code that keeps the GIL stops this watch too. All threads of the worker then hang, and uWSGI's
own deadline is not cleared any more.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from threading import Thread, get_ident
from time import monotonic, sleep

log = logging.getLogger("uwsgi.harakiri")


class Harakiri:
    """The deadlines of a worker's requests. *set_uwsgi* is uWSGI's `set_harakiri`."""

    def __init__(self, set_uwsgi: Callable[[int], object], limit: int) -> None:
        self._set_uwsgi = set_uwsgi
        self._limit = limit  # seconds
        self._begun: dict[int, float] = {}  # by thread
        self._watched = False

    def start(self) -> None:
        """Start the clock of this thread's request."""
        self._begun[get_ident()] = monotonic()
        if not self._watched:  # the first request of this worker: a thread survives no fork
            self._watched = True
            Thread(target=self._watch, name="harakiri", daemon=True).start()

    def stop(self) -> None:
        self._begun.pop(get_ident(), None)

    def pause(self) -> None:
        """Stop the clock while uWSGI sends a part of the answer, and in streams."""
        self.stop()
        self._set_uwsgi(0)

    def resume(self) -> None:
        self.start()
        self._set_uwsgi(self._limit)

    def _watch(self) -> None:
        """Wake up when the oldest request would be late, at least once in *limit* seconds."""
        while True:
            now = monotonic()
            # No request that begins during the sleep can be late at its end.
            thread, begun = min(
                self._begun.copy().items(), key=lambda item: item[1], default=(0, now)
            )
            if (left := begun + self._limit - now) > 0:
                sleep(left)
            else:
                self._end(thread)

    def _end(self, thread: int) -> None:
        frame = sys._current_frames().get(thread)
        where = "".join(traceback.format_stack(frame)[-8:]) if frame else ""
        log.critical("a request has run for %d s; its thread is at\n%s", self._limit, where)
        # No other request may end and clear the deadline until the master looks, once a second. So
        # this thread keeps the GIL: PyDLL does not release it, and nobody may ask for it.
        sys.setswitchinterval(60)
        wait = ctypes.PyDLL(None).sleep
        for _ in range(4):
            self._set_uwsgi(-1)
            wait(1)
        # The master has not looked, because it is stopping.
        os.kill(os.getpid(), signal.SIGKILL)
