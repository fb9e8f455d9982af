"""Views with a known cost, for load tests and experiments. Served only with STACK_WORKLOAD=on.

Each uses CPU, waits, or sends bytes as its parameters state, up to a limit. `bare` and `protected`
send bodies of the same form, so the difference between them is the cost of a session.
"""

from __future__ import annotations

import re
import time

from flask import Blueprint, Response, abort, jsonify, request

from app.security import current_user, login_required

blueprint = Blueprint("workload", __name__, url_prefix="/workload")

# Well below the default of STACK_HARAKIRI, 30 s.
MAX_MS = 10_000
MAX_KIB = 1024
BLOCK = b"0123456789abcde\n" * 64  # 1 KiB


@blueprint.get("/cpu")
def cpu() -> Response:
    """Use CPU time of this thread. Time spent waiting for the GIL or a core does not count."""
    ms = amount("ms", MAX_MS)
    return jsonify(ms=ms, rounds=burn(ms))


@blueprint.get("/io")
def io() -> Response:
    """Wait with the GIL released, as for a slow database."""
    ms = amount("ms", MAX_MS)
    time.sleep(ms / 1000)
    return jsonify(ms=ms)


@blueprint.get("/mixed")
def mixed() -> Response:
    """Use CPU, wait, use CPU: a view that queries a database."""
    cpu_ms, io_ms = amount("cpu", MAX_MS), amount("io", MAX_MS)
    burn(cpu_ms / 2)
    time.sleep(io_ms / 1000)
    burn(cpu_ms / 2)
    return jsonify(cpu=cpu_ms, io=io_ms)


@blueprint.get("/payload")
def payload() -> Response:
    kib = amount("kib", MAX_KIB)
    if not kib.is_integer():
        abort(400, f"kib must be a whole number from 0 to {MAX_KIB}.")
    return Response(BLOCK * int(kib), mimetype="text/plain")


@blueprint.get("/bare")
def bare() -> Response:
    return jsonify(user=None, name=None)


@blueprint.get("/protected")
@login_required
def protected() -> Response:
    return jsonify(user=current_user.id, name=current_user.name)


def burn(ms: float) -> int:
    """Use *ms* of this thread's CPU time. Returns the number of loop iterations."""
    until = time.thread_time() + ms / 1000
    rounds = 0
    while time.thread_time() < until:
        rounds += 1
    return rounds


def amount(name: str, limit: int) -> float:
    """The query parameter *name*, a decimal number from 0 to *limit*. Aborts with 400 otherwise."""
    text = request.args.get(name, "")
    # float() also accepts nan, inf, 1e9 and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) > limit:
        abort(400, f"{name} must be a number from 0 to {limit}, such as ?{name}=10.")
    return float(text)
