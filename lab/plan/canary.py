"""Canaries: apps with a known additional cost, which a comparison must find, as large as it is.

STACK_APP takes them as factories: ``burn_<µs>()``, ``wake_<times>()``, ``hold_<MB>()`` and
``wait_<ms>()``, with any amount. An experiment may also say ``burn_<percent>%``: a share of the
baseline's CPU time per request, which the run measures before its first block (absolute()).

The cost is added around the WSGI call of the app that app.wsgi serves, so that everything else is
the same, logging included; or around that of another app, see stack_app().
"""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MEGABYTE = 1_000_000

_held: list[bytes] = []  # the memory of hold_<MB>, until the process ends
_helpers: list[subprocess.Popen[bytes]] = []  # the processes of wake_<times>

_FORMS = {
    "burn": "burn_<µs> (CPU time per request), or burn_<percent>% in an experiment",
    "wake": "wake_<times> (voluntary context switches per request)",
    "hold": "hold_<MB> (memory, allocated when the app is loaded)",
    "wait": "wait_<ms> (waiting time per request)",
}
_DOSE = re.compile(r"([a-z]+)_([1-9][0-9]{0,5})(%?)")

# kind → metric → what one unit of the amount adds to it; None: it makes the metric worse by an
# unknown amount. hold_ is exact where all processes share the memory.
_TIMES = ("rps", "p50_ms", "p95_ms", "p99_ms", *(f"service_p{part}_ms" for part in (50, 95, 99)))
_ADDS: Mapping[str, Mapping[str, float | None]] = {
    "burn": {"cpu_us": 1.0, "cpu_us_app": 1.0, **dict.fromkeys(_TIMES)},
    "wake": {"wakeups": 1.0},
    "hold": {"pss_mb": 1.0, "start_pss_mb": 1.0},
    "wait": dict.fromkeys((*_TIMES, "stall_ms")),
}


def is_dose(name: str) -> bool:
    """Whether an experiment may name it."""
    found = _DOSE.fullmatch(name)
    return found is not None and found[1] in _FORMS and (not found[3] or found[1] == "burn")


def doubled(dose: str) -> str:
    """``burn_40`` → ``burn_80``, the second dose of a control."""
    kind, amount, percent = _parts(dose)
    return f"{kind}_{2 * amount}{percent}"


def relative(dose: str) -> bool:
    return dose.endswith("%")


def absolute(dose: str, cost_us: float) -> str:
    """``burn_5%`` of 900 µs → ``burn_45``; other doses stay as they are."""
    kind, amount, percent = _parts(dose)
    return f"{kind}_{max(1, round(amount / 100 * cost_us))}" if percent else dose


def metrics(dose: str) -> set[str]:
    """The metrics that it makes worse."""
    return set(_ADDS[_parts(dose)[0]])


def adds(dose: str, metric: str) -> float | None:
    """What an absolute dose adds to *metric*, in its unit; None: unknown, or nothing."""
    kind, amount, percent = _parts(dose)
    each = _ADDS[kind].get(metric)
    return None if each is None or percent else each * amount


def _parts(dose: str) -> tuple[str, int, str]:
    found = _DOSE.fullmatch(dose)
    if found is None or found[1] not in _FORMS:
        raise ValueError(f"{dose!r} is no canary; they are {', '.join(_FORMS.values())}")
    return found[1], int(found[2]), found[3]


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
    """*app* with calls that also burn *amount* µs, wake *amount* processes or wait *amount* ms."""
    spend = {"burn": _burner, "wake": _waker, "wait": _waiter}[kind](amount)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        spend()
        return app(environ, start_response)

    return application


def _burner(microseconds: int) -> Callable[[], None]:
    """Uses CPU time of its thread; other threads and processes do not count."""

    def burn() -> None:
        until = time.thread_time_ns() + 1000 * microseconds
        while time.thread_time_ns() < until:
            pass

    return burn


def _waker(times: int) -> Callable[[], None]:
    """Start *times* processes; a call wakes each of them once.

    They are children of the server, so their context switches count as the app's. A worker that
    slept itself would change the others: without the lock they compete for its next connection, and
    wake_1 added 0.3 wake-ups instead of 1 (lab/results/thunder-lock.md).
    """
    helpers = [
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(times)
    ]
    _helpers.extend(helpers)
    pipes = [helper.stdin.fileno() for helper in helpers if helper.stdin]

    def wake() -> None:
        for pipe in pipes:
            os.write(pipe, b".")

    return wake


def _waiter(milliseconds: int) -> Callable[[], None]:
    return lambda: time.sleep(milliseconds / 1000)
