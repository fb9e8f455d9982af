"""What a session costs in the app: ours in Redis, Flask's signed cookie, Flask-Session's.

    python -m lab.bench.sessions            # a table
    python -m lab.bench.sessions --json     # rows as in bench.json

The same Flask app with one view, called in-process with a cookie that holds a login; a real
redis-server on a unix socket. Only the app's CPU is counted. `bare` is the same request of a
stranger, so that the price of the session alone can be told as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import redis
from flask import Flask, session
from flask.sessions import SessionInterface
from flask_session.redis import RedisSessionInterface as FlaskSessionInterface
from werkzeug.test import EnvironBuilder

from app.sessions import RedisSessionInterface, connect
from lab.bench.slices import SLICE
from lab.judge.estimate import Ratio, of_block, over_blocks

ARMS = ("bare", "signed cookie", "ours", "ours again", "flask-session", "flask-session, lean")

# name, arm, baseline, budget. Only the first has one; the others explain it, and the twin shows
# what this machine can tell apart today.
COMPARISONS = (
    ("session-read-vs-signed-cookie", "ours", "signed cookie", 1.2),
    ("session-read-twin", "ours again", "ours", None),
    ("session-read-vs-no-session", "ours", "bare", None),
    ("session-read-vs-flask-session", "ours", "flask-session", None),
    ("session-read-vs-flask-session-lean", "ours", "flask-session, lean", None),
)

KEY = "the bench's own key, of no value elsewhere"

# What a login leaves in a session.
CONTENTS = {"_user_id": "a3f1c9d2e4b5", "_fresh": True, "csrf_token": "c" * 40, "at": 1795233968.5}


def block(rounds: int, order: random.Random) -> float:
    """Measure after a fresh start of Redis and of the apps; returns the log ratio of the budget."""
    costs = measure(("signed cookie", "ours"), rounds, order)
    return of_block(costs["ours"], costs["signed cookie"])


def measure(
    names: Sequence[str], rounds: int, order: random.Random, calls: int = SLICE
) -> dict[str, list[float]]:
    """CPU seconds a request by arm, a slice an entry; the arms take turns in shuffled order.

    It is the thread's CPU clock: what the kernel does for its system calls is in it, Redis's own
    work is not.
    """
    costs: dict[str, list[float]] = {name: [] for name in names}
    with running_redis() as path:
        every = arms(path)
        called = {name: every[name] for name in names}
        for call in called.values():
            _cost(call, calls)
        gc.collect()
        gc.freeze()
        try:
            for _ in range(rounds):
                for name in order.sample(names, len(names)):
                    costs[name].append(_cost(called[name], calls))
        finally:
            gc.unfreeze()
    return costs


def _cost(call: Callable[[], object], calls: int) -> float:
    start = time.thread_time_ns()
    for _ in range(calls):
        call()
    return (time.thread_time_ns() - start) / calls / 1e9


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every arm and print what explains the budget's figure; 1 when it is not met."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.bench.sessions", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="print rows instead of a table")
    parser.add_argument("--blocks", type=int, default=6, help="fresh starts (default: 6)")
    parser.add_argument("--rounds", type=int, default=50, help="rounds a block (default: 50)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    if options.blocks < 2 or options.rounds < 10:
        parser.error("an interval needs at least 2 blocks, and a block 10 rounds")
    order = random.Random(options.seed)  # noqa: S311 - an order, not a secret
    blocks = [measure(ARMS, options.rounds, order) for _ in range(options.blocks)]
    rows = [
        _row(name, budget, over_blocks([of_block(costs[arm], costs[to]) for costs in blocks]))
        for name, arm, to, budget in COMPARISONS
    ]
    if options.json:
        print(json.dumps({"rows": rows}, indent=2))
    else:
        for name in ARMS:
            cost = median(value for costs in blocks for value in costs[name])
            print(f"{name:22}{cost * 1e6:8.1f} µs of CPU a request (median)")
        for row in rows:
            limit = "" if row["budget"] is None else f"  budget {row['budget']}"
            print(
                f"{row['name']:36}{row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]{limit}"
            )
    return 0 if all(row["met"] in {True, None} for row in rows) else 1


def arms(path: Path) -> dict[str, Callable[[], object]]:
    """Requests by name. `ours again` is the twin of `ours`."""
    ours = RedisSessionInterface(connect(f"unix://{path}"), key=KEY, tls=False)
    theirs = FlaskSessionInterface(
        app=Flask("unused"), client=redis.Redis(unix_socket_path=str(path))
    )
    quiet = {"SESSION_REFRESH_EACH_REQUEST": False}
    return {
        "bare": request("/bare", None),
        "signed cookie": request("/read", None, **quiet),
        "ours": request("/read", ours),
        "ours again": request("/read", ours),
        "flask-session": request("/read", theirs),
        "flask-session, lean": request("/read", theirs, **quiet),
    }


def request(path: str, interface: SessionInterface | None, **config: Any) -> Callable[[], object]:
    """Make a function that has an app answer one request of somebody logged in."""
    app = Flask("bench")
    app.secret_key = KEY
    app.config.update(config)
    if interface is not None:
        app.session_interface = interface

    @app.post("/login")
    def login() -> str:
        session.update(CONTENTS)
        return "in"

    @app.get("/bare")
    def bare() -> str:
        return CONTENTS["_user_id"]  # type: ignore[return-value]

    @app.get("/read")
    def read() -> str:
        return session["_user_id"]  # type: ignore[no-any-return]

    cookie = app.test_client().post("/login").headers["Set-Cookie"].partition(";")[0]
    # Flask's own interface verifies a cookie even where nobody asks for the session.
    headers = [] if path == "/bare" else [("Cookie", cookie)]
    environ = EnvironBuilder(path, headers=headers).get_environ()

    def call() -> bytes:
        return b"".join(app.wsgi_app(dict(environ), lambda *_: lambda _: None))

    expected = str(CONTENTS["_user_id"]).encode()
    if call() != expected:
        raise RuntimeError(f"bench: {path} answers {call()!r} instead of {expected!r}")
    return call


def _row(name: str, budget: float | None, found: Ratio) -> dict[str, Any]:
    """As in bench.json. Met when the whole interval is: a budget met by luck is not met."""
    return {
        "name": name,
        "budget": budget,
        "ratio": round(found.ratio, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "n": found.n,
        "met": None if budget is None else found.high <= budget,
    }


@contextmanager
def running_redis() -> Iterator[Path]:
    """A redis-server of our own, whose unix socket is the path."""
    server = shutil.which("redis-server")
    if server is None:
        raise SystemExit("bench: redis-server is missing (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        path = Path(directory) / "redis.sock"
        command = [server, "--port", "0", "--unixsocket", str(path), "--dir", directory]
        process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while not path.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("bench: redis-server does not start")
                time.sleep(0.01)
            yield path
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
