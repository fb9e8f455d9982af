"""The WSGI file of every worker: loads STACK_APP and reads what the app leaves of a request's body.

uWSGI closes the connection when a response is complete. If part of the request's body is unread by
then, the kernel resets the connection, nginx loses the response, and a login that was refused early
becomes a 502. A request without a body goes straight to the app.

Imported elsewhere than in uWSGI, it only defines functions.

This file uses the standard library and uWSGI's modules alone. It shares its interpreter with an app
that may have modules named `app`, `config`, `stack`, `toggles` or `tests`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import random
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

# nginx accepts no longer bodies. The entrypoint sets the variable.
MOST_DRAINED = int(os.environ.get("STACK_BODY_LIMIT", "1")) << 20

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


def file_of(target: str) -> str | None:
    """Return the file of the module that *target* was loaded from: another may have its name."""
    return getattr(sys.modules[target.partition(":")[0]], "__file__", None)


class DrainedResponse:
    """A response that reads the rest of the request's body when it is closed."""

    __slots__ = ("_input", "_response")

    def __init__(self, response: Iterable[bytes], body: InputStream) -> None:
        self._response, self._input = response, body

    def __iter__(self) -> Iterator[bytes]:
        # The app's own iterator: a long response then has no cost per chunk.
        return iter(self._response)

    def close(self) -> None:
        try:
            if close := getattr(self._response, "close", None):
                close()
        finally:
            left = MOST_DRAINED
            with suppress(OSError):  # the client has closed the connection
                while left > 0 and (chunk := self._input.read(min(left, 65536))):
                    left -= len(chunk)


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


def name_the_python() -> None:
    """Set ``sys.executable`` to the Python interpreter; inside uWSGI it is the uwsgi program.

    ``subprocess.run([sys.executable, …])`` and multiprocessing's spawn and forkserver methods would
    start another uWSGI.
    """
    for name in ("python3", "python"):
        python = Path(sys.exec_prefix, "bin", name)
        if python.exists():
            sys.executable = str(python)
            return


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


_START_LATER = "start them at the first request"
# By the module whose code the thread runs.
_REMEDIES = {
    "limits.storage.memory": "give Flask-Limiter a storage_uri such as redis://…, whose limits all "
    "workers share",
    "psycopg_pool": "create the pool with open=False and open it at the first request",
    "apscheduler": "run the scheduler as a program of its own, or every worker runs every job",
}


def refuse_what_forks_cannot_share(opened: list[str]) -> None:
    """Raise RuntimeError if loading the app has started threads or opened connections.

    A thread does not exist in a forked worker, and one that holds the interpreter's lock during the
    fork deadlocks the worker (unbit/uwsgi#1149). Workers that share a connection read each other's
    answers. *opened* is a phrase for each connection.
    """
    app = os.environ["STACK_APP"]
    if threads := [_described(thread) for thread in threading.enumerate()[1:]]:
        fault = f"started threads ({', '.join(threads)}), which do not exist in forked workers"
        remedy = next((text for name, text in _REMEDIES.items() if name in fault), _START_LATER)
    elif opened:
        fault = f"opened {', '.join(opened)}, which forked workers would share and mix up"
        remedy = "open connections at the first request"
    else:
        return
    if os.environ["STACK_LAZY_APPS"] == "auto":
        print(f"STACK_LAZY_APPS=auto is on, because loading {app} {fault}", flush=True)
        start_again_lazily()
    raise RuntimeError(f"loading {app} {fault}: {remedy}, or set STACK_LAZY_APPS=on")


def start_again_lazily() -> None:
    """Replace this master, which has no worker yet, by one whose workers load the app."""
    # The sockets that it has inherited begin at 3; the one for metrics is the last.
    metrics = int(os.environ["METRICS_FD"])
    os.closerange(metrics + 1, os.sysconf("SC_OPEN_MAX"))
    for inherited in range(3, metrics + 1):
        os.set_inheritable(inherited, True)
    sockets = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(metrics - 3)}
    # With UWSGI_RELOADS uWSGI would look for sockets of its own.
    environ = {k: v for k, v in os.environ.items() if k != "UWSGI_RELOADS"}
    command = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    os.execve("/proc/self/exe", command, {**environ, **sockets, "APP_LAZY": "on"})  # noqa: S606


def _described(thread: threading.Thread) -> str:
    """Return the thread's name and the module whose code it runs, which names the library."""
    code = getattr(thread, "function", None) or getattr(thread, "_target", None)
    module = getattr(code, "__module__", None) or type(thread).__module__
    return f"{thread.name} of {module}"


def run_after_fork(in_child: list[Callable[[], object]]) -> None:
    """Run *in_child* and reseed random generators in each worker.

    uWSGI forks without Python's fork hooks: workers that share one loaded app draw the same
    "random" numbers, and a logging lock that is held during the fork is never released
    (unbit/uwsgi#1369).
    (!) A `random.Random()` or numpy `Generator` that the app has created stays the same in all
    workers; it may have a seed on purpose.
    """

    def reseed() -> None:
        random.seed()
        if numpy := sys.modules.get("numpy.random"):
            numpy.seed()

    postfork = importlib.import_module("uwsgidecorators").postfork
    for handler in (reseed, *in_child):
        postfork(handler)


def keep_memory_shared() -> None:
    """Exclude all objects that exist now from garbage collection.

    The collector writes to every object that it visits. A worker's first full collection, after
    some hundred requests, would copy each page that it shares with the others: 21 MB per worker
    instead of 9 for the stack's own app. Existing garbage is freed first.
    """
    gc.collect()
    gc.freeze()


def run_signals_in_one_generation(server: Any, serves: Callable[[Path], bool]) -> None:
    """Let timers, crons and file monitors of uwsgidecorators run where requests are served only.

    During a reload two masters are up. (!) Threads that the app starts run in both.
    """
    register = server.register_signal
    directory = Path(os.environ["APP_RUN"])

    def registering(number: int, target: str, handler: Callable[[int], object]) -> object:
        def run(number: int) -> None:
            if serves(directory):
                handler(number)

        return register(number, target, run)

    server.register_signal = registering


def load_and_report(check: Callable[[], None]) -> WSGIApplication:
    """Load STACK_APP and run *check*; leave the reason of a failure in a file for uwsgi/reload.

    Shortly before STACK_START_TIMEOUT the log gets the line of code at which a start hangs.
    """
    limit = float(os.environ["STACK_START_TIMEOUT"])
    faulthandler.dump_traceback_later(max(limit - 1.0, 0.5))
    try:
        app = load(os.environ["STACK_APP"])
        check()
    except BaseException:
        reason = Path(os.environ["APP_RUN"], "error")
        # The first worker's. The others may be interrupted because it has failed.
        with suppress(FileExistsError), reason.open("x", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
    return app


if "uwsgi" in sys.modules:  # uWSGI's own module: the directory of that name cannot be imported
    _server = sys.modules["uwsgi"]
    # By their paths: the app may have modules of these names.
    _answers = runpy.run_path(str(Path(__file__).with_name("answers.py")))
    _harakiri = runpy.run_path(str(Path(__file__).with_name("harakiri.py")))
    _inherited = runpy.run_path(str(Path(__file__).with_name("inherited.py")))
    _master = runpy.run_path(str(Path(__file__).with_name("master.py")))
    _metrics = runpy.run_path(str(Path(__file__).with_name("app_metrics.py")))
    _unhandled = runpy.run_path(str(Path(__file__).with_name("unhandled.py")))
    for _listening in range(3, int(os.environ["METRICS_FD"]) + 1):
        # A program that the app starts would keep the port after the end of everything else.
        os.set_inheritable(_listening, False)
    search_here_last()
    name_the_python()
    _in_child = record_fork_handlers()
    _before = _inherited["open_descriptors"]()
    run_signals_in_one_generation(_server, _master["serves"])

    if _folder := _metrics["directory"]():
        _metrics["keep_in"](_folder, _server.worker_id)

    def _check() -> None:
        if _server.worker_id() in (0, 1):
            print(
                f"STACK_APP={os.environ['STACK_APP']} is in {file_of(os.environ['STACK_APP'])}",
                flush=True,
            )
        if not _server.worker_id():
            refuse_what_forks_cannot_share(_inherited["opened_since"](_before))

    _app = load_and_report(_check)
    _failures = _unhandled["Unhandled"](_server.sharedarea_memoryview(0), _server.worker_id)
    if _flask := sys.modules.get("flask"):
        _failures.add_those_of(_flask)
        if _folder and isinstance(_app, _flask.Flask):
            _metrics["count_requests"](_app)
    # Python's functions can only set a second, additional time limit.
    _limit = int(os.environ["STACK_HARAKIRI"])
    _deadlines = _harakiri["Harakiri"](ctypes.PyDLL(None).set_harakiri, _limit)
    application = draining(
        _answers["guarded"](_app, _server.connection_fd, _deadlines, _failures.add)
    )
    run_after_fork(_in_child)
    keep_memory_shared()
