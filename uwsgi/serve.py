"""The WSGI file of every worker: loads STACK_APP and reads what the app leaves of a request's body.

uWSGI closes the connection when a response is complete. If part of the request's body is unread by
then, the kernel resets the connection, nginx loses the response, and a login that was refused early
becomes a 502. A request without a body goes straight to the app.

Run as a program it loads the app and exits: uwsgi/reload tests new code that way. Imported, it only
defines functions.

This file uses the standard library and uWSGI's modules alone. It shares its interpreter with an app
that may have modules named `app`, `config`, `stack`, `toggles` or `tests`.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# nginx accepts bodies up to 1 MiB (client_max_body_size); a longer one may be reset.
MOST_DRAINED = 1 << 20

# nginx passes an empty CONTENT_LENGTH for a request without a body.
_NO_BODY = frozenset({"", "0", None})


def load(target: str) -> WSGIApplication:
    """Import ``module:callable``, or call ``module:factory()``, and return the WSGI app.

    Raises what the import raises, AttributeError for a name that the module does not have, and
    TypeError for an object that is not callable.
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


class _Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class DrainedResponse:
    """A response that reads the rest of the request's body when it is closed."""

    __slots__ = ("_input", "_response")

    def __init__(self, response: Iterable[bytes], body: _Input) -> None:
        self._response = response
        self._input = body

    def __iter__(self) -> Iterator[bytes]:
        # The app's own iterator: a long response then has no cost per chunk.
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
        pass  # The client has closed the connection, so no response can be lost.


def draining(app: WSGIApplication) -> WSGIApplication:
    """Return *app* with the rest of each request's body read before the connection is closed.

    ``wsgi.input`` must end after CONTENT_LENGTH bytes, as uWSGI's does.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app(environ, start_response)
        if environ.get("CONTENT_LENGTH") in _NO_BODY:
            return response
        return DrainedResponse(response, environ["wsgi.input"])

    return application


def search_here_last() -> None:
    """Move the directory that holds app/ and uwsgi/ to the end of ``sys.path``.

    uWSGI searches the working directory before PYTHONPATH. Modules of the user's app, on PYTHONPATH
    or installed, take precedence over modules of the stack with the same name.
    """
    here = str(Path(__file__).resolve().parents[1])
    sys.path[:] = [path for path in sys.path if path not in ("", ".", here)]
    sys.path.append(here)


def record_fork_handlers() -> list[Callable[[], object]]:
    """Return a list that collects each ``after_in_child`` handler registered from now on."""
    in_child: list[Callable[[], object]] = []
    register = os.register_at_fork

    def recording(**handlers: Callable[[], object]) -> None:
        register(**handlers)
        if handler := handlers.get("after_in_child"):
            in_child.append(handler)

    os.register_at_fork = recording  # type: ignore[assignment]
    return in_child


def run_after_fork(in_child: list[Callable[[], object]]) -> None:
    """Run *in_child* and reseed `random` in each worker: uWSGI forks without Python's fork hooks.

    Without this, workers that share one loaded app draw the same "random" numbers, and a logging
    lock that is held during the fork is never released (unbit/uwsgi#1369). Raises RuntimeError if
    the app has started threads: one that holds the interpreter's lock during the fork deadlocks the
    worker (unbit/uwsgi#1149).
    """
    server = sys.modules["uwsgi"]
    threads = [thread.name for thread in threading.enumerate()[1:]]
    if threads and not server.worker_id():
        raise RuntimeError(
            f"loading {os.environ['STACK_APP']} started threads ({', '.join(threads)}), which do "
            "not exist in forked workers: start them at the first request, or set "
            "STACK_LAZY_APPS=on"
        )
    postfork = importlib.import_module("uwsgidecorators").postfork
    for handler in (random.seed, *in_child):
        postfork(handler)


def keep_memory_shared() -> None:
    """Exclude all objects that exist now from garbage collection.

    The collector writes to every object that it visits. A worker's first full collection, after
    some hundred requests, would copy each page that it shares with the others: 21 MB per worker
    instead of 9 for the stack's own app. Existing garbage is freed first.
    """
    gc.collect()
    gc.freeze()


if "uwsgi" in sys.modules:  # uWSGI's own module: the directory of that name cannot be imported
    search_here_last()
    _in_child = record_fork_handlers()
    application = draining(load(os.environ["STACK_APP"]))
    run_after_fork(_in_child)
    keep_memory_shared()
elif __name__ == "__main__":
    search_here_last()
    load(os.environ["STACK_APP"])
