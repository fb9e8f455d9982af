"""Canaries: apps with a known additional cost, which a comparison must find.

STACK_APP takes them as factories: ``burn_<µs>()``, ``wake_<times>()``, ``hold_<MB>()`` and
``wait_<ms>()``, with any amount.

The cost is added around the WSGI call of the app that app.wsgi serves, so that everything else is
the same, logging included; or around that of another app, see stack_app().
"""

from __future__ import annotations

import pkgutil
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MEGABYTE = 1_000_000

# Long enough that the kernel suspends the thread, and short compared with a request.
NAP_S = 20e-6

_held: list[bytes] = []  # the memory of hold_<MB>, until the process ends

_FORMS = {
    "burn": "burn_<µs> (CPU time per request)",
    "wake": "wake_<times> (voluntary context switches per request)",
    "hold": "hold_<MB> (memory, allocated when the app is loaded)",
    "wait": "wait_<ms> (waiting time per request)",
}


def stack_app(name: str, around: str | None = None) -> str:
    """The STACK_APP of the canary *name* around the app *around*, ``module:callable`` or
    ``module:factory()``; None: around the stack's own app.

    A factory in STACK_APP has no arguments, so its name contains the other app in hexadecimal.
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
    return lambda: _around(_load(target or "app:create_app()"), kind, amount)


def _load(target: str) -> Any:
    found = pkgutil.resolve_name(target.removesuffix("()"))
    return found() if target.endswith("()") else found


def _around(app: Any, kind: str, amount: int) -> Any:
    """*app* with the cost. A Flask app stays the same object, because others may inspect it."""
    if kind == "hold":
        # The kernel allocates no memory for pages of zeros.
        _held.append(b"\x01" * (amount * MEGABYTE))
    elif hasattr(app, "wsgi_app"):
        app.wsgi_app = _with_cost(app.wsgi_app, kind, amount)
    else:
        app = _with_cost(app, kind, amount)
    return app


def _with_cost(app: WSGIApplication, kind: str, amount: int) -> WSGIApplication:
    """*app* with calls that also burn *amount* µs, sleep *amount* times or wait *amount* ms."""
    spend = {"burn": _burn, "wake": _wake, "wait": _wait}[kind]

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        spend(amount)
        return app(environ, start_response)

    return application


def _burn(microseconds: int) -> None:
    """Use CPU time of this thread; other threads and processes do not count."""
    until = time.thread_time_ns() + 1000 * microseconds
    while time.thread_time_ns() < until:
        pass


def _wake(times: int) -> None:
    for _ in range(times):
        time.sleep(NAP_S)


def _wait(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)
