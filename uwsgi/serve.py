"""Loads STACK_APP for uWSGI and reads what the app leaves of a request's body.

uWSGI closes the connection when a response is complete. With a part of the request's body still
unread, the kernel turns that close into a reset, nginx loses the response with it, and a login
that was refused early becomes a 502. Reading the rest first is all that this layer does; a request
without a body goes straight to the app.

Run as a program it loads the app and nothing else.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# nginx accepts bodies up to 1 MiB (client_max_body_size). Beyond that a reset is the right answer.
MOST_DRAINED = 1 << 20


class _Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class DrainedResponse:
    """A response that reads the rest of the request's body when it is closed."""

    __slots__ = ("_input", "_response")

    def __init__(self, response: Iterable[bytes], body: _Input) -> None:
        self._response = response
        self._input = body

    def __iter__(self) -> Iterator[bytes]:
        # The app's own iterator, so that a long response costs nothing per chunk.
        return iter(self._response)

    def close(self) -> None:
        try:
            if close := getattr(self._response, "close", None):
                close()
        finally:
            _drain(self._input)


def _drain(body: _Input) -> None:
    left = MOST_DRAINED
    try:
        while left > 0 and (chunk := body.read(min(left, 65536))):
            left -= len(chunk)
    except OSError:
        pass  # The client went away: nobody is left to miss the response.


def draining(app: WSGIApplication) -> WSGIApplication:
    """Return *app* with the rest of every request's body read before the connection is closed."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app(environ, start_response)
        # nginx passes an empty CONTENT_LENGTH for a request without a body.
        if environ.get("CONTENT_LENGTH") in _NO_BODY:
            return response
        return DrainedResponse(response, environ["wsgi.input"])

    return application


_NO_BODY = frozenset({"", "0", None})


def load(target: str) -> WSGIApplication:
    """Import ``module:callable``, or call ``module:factory()``, and return the WSGI app.

    Raises what the import raises, AttributeError for a name that is not in the module, and
    TypeError for one that is not callable.
    """
    module_name, _, name = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.removesuffix("()").split("."):
        found = getattr(found, part)
    if name.endswith("()"):
        found = found()
    if not callable(found):
        raise TypeError(f"STACK_APP={target}: {name} is {type(found).__name__}, not a WSGI app")
    return cast("WSGIApplication", found)


def remember_fork_handlers() -> list[Callable[[], object]]:
    """Return a list that grows by what modules register from now on to run in a forked process."""
    in_child: list[Callable[[], object]] = []
    register = os.register_at_fork

    def remembering(**handlers: Callable[[], object]) -> None:
        register(**handlers)
        if handler := handlers.get("after_in_child"):
            in_child.append(handler)

    os.register_at_fork = remembering  # type: ignore[assignment]
    return in_child


def prepare_workers(in_child: list[Callable[[], object]]) -> None:
    """Have each worker run the fork handlers that uWSGI, which forks by itself, does not run.

    Without them workers that share one loaded app draw the same "random" numbers, and a lock of
    logging's that was held at the moment of the fork stays locked (#1369). Raises RuntimeError when
    the app has threads by now: one that holds the interpreter's lock at the moment of the fork
    leaves it locked in the worker, which then never answers (#1149).
    """
    server = sys.modules["uwsgi"]
    threads = [thread.name for thread in threading.enumerate()[1:]]
    if threads and not server.worker_id():
        raise RuntimeError(
            f"loading {os.environ['STACK_APP']} started threads ({', '.join(threads)}), which no "
            "worker would have: start them at the first request, or set STACK_LAZY_APPS=on"
        )
    postfork = importlib.import_module("uwsgidecorators").postfork
    for handler in (random.seed, *in_child):
        postfork(handler)


def keep_memory_shared() -> None:
    """Have the garbage collector leave alone what is loaded by now.

    It writes into every object that it looks at, so a worker's first full collection, after some
    hundred requests, would copy every page that it shares with the others: 21 MB a worker for the
    stack's own app instead of 9 (`make bench`). What is garbage already is freed first.
    """
    gc.collect()
    gc.freeze()


_in_child = remember_fork_handlers()
application = draining(load(os.environ["STACK_APP"]))
# Outside of uWSGI, `uwsgi` would be the folder of that name.
if "uwsgi" in sys.modules:
    prepare_workers(_in_child)
    keep_memory_shared()
