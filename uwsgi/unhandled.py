"""Counts the exceptions that the app does not handle, for /metrics.

They do not reach uWSGI: Flask makes a 500 of one and logs it, answers.py does so with the others.
The counts are in a page of memory that uWSGI's master shares with its workers, preforked or lazy,
and with the mule (`sharedarea` in uwsgi.ini). A worker that is replaced continues the count of the
one before it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Unhandled:
    """One count for each worker. *page* is uWSGI's memory; *worker* returns this one's number."""

    def __init__(self, page: memoryview, worker: Callable[[], int]) -> None:
        self._counts = page.cast("Q")
        self._worker = worker
        self._lock = Lock()  # of the threads of a worker

    def __getitem__(self, worker: int) -> int:
        return self._counts[worker - 1]

    def add(self, environ: WSGIEnvironment) -> None:
        """Count the exception of a request; once, also when Flask passes it on."""
        if environ.get("unhandled.counted"):
            return
        environ["unhandled.counted"] = True
        with self._lock:
            self._counts[self._worker() - 1] += 1

    def add_those_of(self, flask: Any) -> None:
        """Count what Flask apps make a 500 of because no handler of theirs has taken it."""

        def failed(_: Any, **__: Any) -> None:
            self.add(flask.request.environ)

        # Of all apps: STACK_APP may be a wrapper. A weak reference would end with this function.
        flask.got_request_exception.connect(failed, weak=False)
