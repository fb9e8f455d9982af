"""An app with one cost that is known: what a comparison must find, or it finds nothing.

STACK_APP takes these as factories. Beside the ones below any amount will do, by name:
``burn_<µs>()``, ``wake_<times>()``, ``hold_<MB>()``, ``wait_<ms>()``.

The cost is added around the WSGI call of the very app that app.wsgi serves, so that everything
else, logging included, is the same; or of another app, as stack_app() writes it.
"""

from __future__ import annotations

import importlib
import operator
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

MEGABYTE = 1_000_000

# Long enough that the kernel does put the thread to sleep, short beside any request.
NAP_S = 20e-6

_held: list[bytes] = []  # what canaries hold, for as long as the process lives

_FORMS = {
    "burn": "burn_<µs> (CPU time a request)",
    "wake": "wake_<times> (more voluntary context switches a request)",
    "hold": "hold_<MB> (memory from the loading of the app on)",
    "wait": "wait_<ms> (waiting a request)",
}


def burn_40() -> Flask:
    """40 µs more CPU time a request."""
    return _app("burn", 40)


def wake_1() -> Flask:
    """One voluntary context switch more a request."""
    return _app("wake", 1)


def hold_20() -> Flask:
    """20 MB more memory."""
    return _app("hold", 20)


def wait_2() -> Flask:
    """2 ms more waiting a request."""
    return _app("wait", 2)


def stack_app(name: str, around: str | None = None) -> str:
    """The STACK_APP that serves canary *name* of the app *around*, ``module:callable`` or
    ``module:factory()``; None: of the stack's own.

    A factory takes no argument there, so the other app is a part of its name, in hexadecimal.
    """
    suffix = f"_of_{around.encode().hex()}" if around else ""
    return f"{__name__}:{name}{suffix}()"


def __getattr__(name: str) -> Callable[[], Any]:
    found = re.fullmatch(r"([a-z]+)_([1-9][0-9]{0,5})(?:_of_((?:[0-9a-f]{2})+))?", name)
    if found is None or found[1] not in _FORMS:
        forms = ", ".join(_FORMS.values())
        raise AttributeError(f"{__name__} has no {name!r}; its canaries are {forms}")
    kind, amount = found[1], int(found[2])
    target = bytes.fromhex(found[3] or "").decode()
    return lambda: _around(_load(target), kind, amount) if target else _app(kind, amount)


def _app(kind: str, amount: int) -> Flask:
    # Not at the top: whoever only wants to know the names does not need the app and its settings.
    from app import create_app  # noqa: PLC0415

    found: Flask = _around(create_app(), kind, amount)
    return found


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    found = operator.attrgetter(name.removesuffix("()"))(importlib.import_module(module))
    return found() if name.endswith("()") else found


def _around(app: Any, kind: str, amount: int) -> Any:
    """*app* with the cost: the same object where it is Flask's, which others may look into."""
    if kind == "hold":
        # Written to: the kernel gives no memory for pages that are only zero.
        _held.append(b"\x01" * (amount * MEGABYTE))
    elif hasattr(app, "wsgi_app"):
        app.wsgi_app = _with_cost(app.wsgi_app, kind, amount)
    else:
        app = _with_cost(app, kind, amount)
    return app


def _with_cost(app: WSGIApplication, kind: str, amount: int) -> WSGIApplication:
    """*app*, each call of which also burns *amount* µs, sleeps *amount* times or waits that many
    ms."""
    spend = {"burn": _burn, "wake": _wake, "wait": _wait}[kind]

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        spend(amount)
        return app(environ, start_response)

    return application


def _burn(microseconds: int) -> None:
    """CPU time of this thread: neither another thread's nor what a neighbour took counts."""
    until = time.thread_time_ns() + 1000 * microseconds
    while time.thread_time_ns() < until:
        pass


def _wake(times: int) -> None:
    for _ in range(times):
        time.sleep(NAP_S)


def _wait(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)
