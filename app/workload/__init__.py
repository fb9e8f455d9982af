"""Views with a known cost, for load tests and experiments. Served only with STACK_WORKLOAD=on.

Each burns CPU, waits, or sends bytes, as much as its parameters say and within bounds. `bare`
and `protected` send alike bodies, so that the difference between them is what a session costs.
"""

from __future__ import annotations

import re
import time

from flask import Blueprint, Response, abort, jsonify, request

from app.security import current_user, login_required

blueprint = Blueprint("workload", __name__, url_prefix="/workload")

# One request must not hold a worker for longer than harakiri's default leaves it (30 s).
MAX_MS = 10_000
MAX_KIB = 1024
BLOCK = b"0123456789abcde\n" * 64  # 1 KiB of text that is easy to check and gzips like text


@blueprint.get("/cpu")
def cpu() -> Response:
    """Burn CPU time of this thread: waiting for the GIL or for a core does not count as work."""
    ms = amount("ms", MAX_MS)
    return jsonify(ms=ms, rounds=burn(ms))


@blueprint.get("/io")
def io() -> Response:
    """Wait, as for a slow database, with the GIL let go."""
    ms = amount("ms", MAX_MS)
    time.sleep(ms / 1000)
    return jsonify(ms=ms)


@blueprint.get("/mixed")
def mixed() -> Response:
    """Work, wait, work: as a view does that asks a database in its middle."""
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
    """Use *ms* of this thread's CPU time; the number of rounds that fitted in."""
    until = time.thread_time() + ms / 1000
    rounds = 0
    while time.thread_time() < until:
        rounds += 1
    return rounds


def amount(name: str, limit: int) -> float:
    """The query parameter *name*, a decimal number from 0 to *limit*; anything else is a 400."""
    text = request.args.get(name, "")
    # float() alone would take nan, inf, 1e9 and other scripts' digits.
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) > limit:
        abort(400, f"{name} must be a number from 0 to {limit}, such as ?{name}=10.")
    return float(text)
