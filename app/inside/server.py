"""What the server knows: the worker that answers, all workers, their memory and wake-ups."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.ops import LOADED, VERSION

# uWSGI's own module. With `flask run`, a test or another server there is none.
_found: Any = sys.modules.get("uwsgi")
uwsgi: Any = _found if hasattr(_found, "worker_id") else None


def _option(name: str) -> str:
    """The value of an option as uWSGI reports it; `on` for a bare flag, empty without."""
    value = uwsgi.opt.get(name, b"")
    return "on" if value is True else bytes(value).decode()


def this_worker() -> dict[str, Any]:
    """The process and thread that answer. Outside of uWSGI only what Python knows."""
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "version": VERSION,
        "loaded": LOADED,
    }
    if uwsgi is None:
        return {**found, "server": "not uWSGI"}
    number = uwsgi.worker_id()
    mine = uwsgi.workers()[number - 1] if number else {}
    return {
        **found,
        "server": f"uWSGI {uwsgi.version.decode()}",
        "worker": number,
        "workers": uwsgi.numproc,
        "threads": int(_option("threads") or 1),
        "generation": _number(_run()),
        "requests_before": max(0, mine.get("requests", 0)),
        "listen_queue": uwsgi.listen_queue(),
        "thunder_lock": _option("thunder-lock") or "off",
        "lazy_apps": _option("lazy-apps") or "off",
    }


def generations() -> list[tuple[int, str]]:
    """Number and state of each master of this app: one, and two while a reload replaces it."""
    if uwsgi is None:
        return []
    own = _run()
    numbers = sorted(_number(each) for each in own.parent.glob("[0-9]*"))
    serving = _number((own.parent / "current").resolve())
    states = {-1: "finishes its requests", 0: "serves", 1: "starts"}
    return [(each, states[(each > serving) - (each < serving)]) for each in numbers]


def all_workers() -> list[dict[str, Any]]:
    """Each worker of each generation: state, requests and seconds in hand, memory, wake-ups.

    Memory in bytes. Raises OSError while the master of this generation does not answer.
    """
    found = _workers(_run(), 1.0)
    for number, _ in generations():
        other = _run().with_name(str(number))
        if other != _run():
            # Its master may be loading the app, or waiting for the last requests.
            with suppress(OSError, KeyError, ValueError):
                found += _workers(other, 0.2)
    return sorted(found, key=lambda each: (each["generation"], each["worker"]))


def _workers(run: Path, seconds: float) -> list[dict[str, Any]]:
    """The workers whose master has the directory *run* and answers within *seconds*."""
    found = []
    for worker in _statistics(run / "stats.sock", seconds)["workers"]:
        busy = [core for core in worker["cores"] if core["in_request"]]
        figures: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # the process has just ended
            figures = _process(worker["pid"])
        found.append(
            {
                "generation": _number(run),
                "worker": worker["id"],
                "pid": worker["pid"],
                "state": "busy" if busy else worker["status"],
                "requests": worker["requests"],
                "in_hand": [_in_hand(core) for core in busy],
                **figures,
            }
        )
    return found


def _run() -> Path:
    """The directory of this generation. uwsgi/entrypoint names it with the number."""
    return Path(os.environ.get("APP_RUN", ""))


def _number(run: Path) -> int:
    return int(run.name) if run.name.isdigit() else 1


def _in_hand(core: dict[str, Any]) -> dict[str, Any]:
    # The variables hold cookies as well: only these two are read.
    given = dict(line.partition("=")[::2] for line in core.get("vars", ()))
    since = core.get("req_info", {}).get("request_start", 0)
    return {
        "request": f"{given.get('REQUEST_METHOD', '?')} {given.get('PATH_INFO', '?')}",
        "seconds": max(0, round(time.time()) - since) if since else None,
    }


def _statistics(path: Path, seconds: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        with connection.makefile("rb") as stream:
            document: dict[str, Any] = json.loads(stream.read())
    return document


def _process(pid: int) -> dict[str, Any]:
    memory = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    tasks = Path(f"/proc/{pid}/task").iterdir()
    wakes = sum(_fields(task / "status")["voluntary_ctxt_switches"] for task in tasks)
    private = memory["Private_Clean"] + memory["Private_Dirty"]
    return {
        "pss": memory["Pss"] * 1024,
        "private": private * 1024,
        "shared": (memory["Rss"] - private) * 1024,
        "wakeups": wakes,
    }


def _fields(file: Path) -> dict[str, int]:
    pairs = (line.split()[:2] for line in file.read_text(errors="replace").splitlines())
    return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if pair[1:] and pair[1].isdigit()}


def options() -> dict[str, str]:
    """Every option that uWSGI runs with, by name; empty outside of uWSGI."""
    if uwsgi is None:
        return {}
    return {name: _option(name) for name in sorted(uwsgi.opt) if isinstance(name, str)}


PYTHON = sys.version.split()[0]
