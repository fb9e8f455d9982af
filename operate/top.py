"""`make top`: what the stack does now, live in a terminal, once as plain text for a pipe.

The figures are differences between two looks, SECONDS apart: the app's metrics and what its
workers do, nginx's connection counts and its log, CPU time and memory of the processes.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from operate import in_service
from stack import processes
from stack.choose import running
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.runtime import SERVICES, Runtime
from stack.venv import run_python

PINS = Path("operate/requirements/operate.txt")
LOOK_S = 2.0

# Runs where the app runs. Without the variables of the requests, which hold cookies.
_LOOK = """
import json, os, socket, urllib.request
port = os.environ.get("METRICS_LISTEN", ":9101").rpartition(":")[2]
metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(5)
    connection.connect(os.environ.get("APP_RUN", "/tmp/uwsgi") + "/current/stats.sock")
    workers = json.load(connection.makefile())["workers"]
doing = {}
for worker in workers:
    for core in worker["cores"]:
        if core["in_request"]:
            known = dict(pair.partition("=")[::2] for pair in core["vars"])
            request = known.get("REQUEST_METHOD", ""), known.get("PATH_INFO", "")
            since = core.get("req_info", {}).get("request_start", 0)
            doing.setdefault(str(worker["id"]), []).append([*request, since])
print(json.dumps({"metrics": metrics, "doing": doing}))
"""
_STATUS = """
address=${NGINX_STATUS_LISTEN:-127.0.0.1:8081}
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET /status HTTP/1.0\\r\\n\\r\\n' >&3
cat <&3
"""
_SAMPLE = re.compile(r'^(\w+?)(?:_total)?(?:\{\w+="([^"]*)"\})? ([-+.\de]+|NaN)$', re.MULTILINE)


@dataclass(frozen=True)
class Look:
    """The counters at one moment."""

    at: float
    # By name of the metric, then by its label: a worker or a state.
    metrics: Mapping[str, Mapping[str, float]]
    # By worker: method, path and start (seconds since the epoch) of its requests.
    doing: Mapping[str, Sequence[tuple[str, str, float]]]
    connections: str
    # By service: CPU seconds and bytes. None for processes that cannot be seen from here.
    services: Mapping[str, tuple[float, int] | None]

    def total(self, name: str) -> float:
        return sum(self.metrics.get(name, {}).values())


@dataclass
class Answers:
    """The requests in nginx's log: status and seconds of each, as clients saw them."""

    seen: list[tuple[int, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, lines: Iterator[str]) -> None:
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                fields = json.loads(line)
                answer = int(fields["status"]), float(fields["seconds"])
                with self.lock:
                    self.seen.append(answer)

    def take(self) -> list[tuple[int, float]]:
        with self.lock:
            taken, self.seen = self.seen, []
        return taken


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first one is the head."""

    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in self.rows
        )
        return "\n".join(line.rstrip() for line in lines)


def top(environ: Mapping[str, str]) -> int:
    """Show the running stack until Ctrl-C, or once if the output is no terminal."""
    try:
        seconds = float(environ.get("SECONDS") or LOOK_S)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 60:  # nan neither
        raise StackError(
            f"SECONDS={environ['SECONDS']!r} must be from 0.5 to 60", "make top SECONDS=2"
        )
    runtime = running(environ)
    if not sys.stdout.isatty():
        _once(runtime, seconds)
        return 0
    if "TOP_LIVE" not in environ:
        return run_python(["-m", "operate", "top"], [PINS], TOP_LIVE="yes")
    return _live(runtime, seconds)


def _once(runtime: Runtime, seconds: float) -> None:
    with _following(runtime) as answers:
        before = look(runtime)
        time.sleep(seconds)
        after = look(runtime)
        tables = tables_of(before, after, answers.take())
    print(f"{runtime.name} at {runtime.address()}, within {after.at - before.at:.1f} s\n")
    print("\n\n".join(table.text() for table in tables))


def _live(runtime: Runtime, seconds: float) -> int:
    from rich.console import Group  # noqa: PLC0415 - installed for this view only
    from rich.live import Live  # noqa: PLC0415
    from rich.table import Table as Drawn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def drawn(table: Table) -> Drawn:
        head, *rows = table.rows
        grid = Drawn(*head, box=None, padding=(0, 2, 0, 0), header_style="bold")
        for row in rows:
            # As Text: a path may look like markup.
            busy = row[-1] not in ("", "-") and head[-1] == "does"
            grid.add_row(*map(Text, row), style="green" if busy else "")
        return grid

    title = f"{runtime.name} at {runtime.address()}, each {seconds:g} s. Ctrl-C ends it.\n"
    try:
        with _following(runtime) as answers, Live(Text(title), screen=True) as screen:
            before = look(runtime)
            while True:
                time.sleep(seconds)
                after = look(runtime)
                tables = tables_of(before, after, answers.take())
                parts = [part for table in tables for part in (drawn(table), Text())]
                screen.update(Group(Text(title), *parts), refresh=True)
                before = after
    except KeyboardInterrupt:
        return 0


def look(runtime: Runtime) -> Look:
    """Read all counters. Raises StackError if the app or nginx does not answer."""
    python = "python3" if isinstance(runtime, ComposeRuntime) else sys.executable
    words = in_service.command(runtime, "app", python, "-c", _LOOK)
    found = json.loads(in_service.output(runtime, words, "the look at the app's metrics"))
    words = in_service.command(runtime, "nginx", "bash", "-c", _STATUS)
    status = in_service.output(runtime, words, "the look at nginx's status").decode()
    active = re.search(r"Active connections: (\d+)", status)
    return Look(
        at=time.time(),
        metrics=parse(found["metrics"]),
        doing=found["doing"],
        connections=active[1] if active else "-",
        services={service: _used(pid) for service, pid in _pids(runtime).items()},
    )


def parse(text: str) -> dict[str, dict[str, float]]:
    """Return the samples of a Prometheus text by name, without `_total`, and by their label."""
    found: dict[str, dict[str, float]] = {}
    for name, label, value in _SAMPLE.findall(text):
        found.setdefault(name, {})[label] = float(value)
    return found


def _pids(runtime: Runtime) -> dict[str, int]:
    if isinstance(runtime, LocalRuntime):
        return runtime.main_pids()
    assert isinstance(runtime, ComposeRuntime)  # noqa: S101 - there are two runtimes
    return {name: each.pid for name, each in runtime.containers().items() if name in SERVICES}


def _used(pid: int) -> tuple[float, int] | None:
    """Return CPU seconds and memory of a process and its descendants."""
    members = processes.family(pid) if processes.find(pid) else []
    seconds = 0.0
    for member in members:
        with suppress(OSError, IndexError):
            stat = Path(f"/proc/{member.pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = stat[stat.rindex(")") + 2 :].split()
            seconds += (int(fields[11]) + int(fields[12])) / processes.TICKS
    return (seconds, processes.pss_bytes(members)) if members else None


@contextmanager
def _following(runtime: Runtime) -> Iterator[Answers]:
    """Read nginx's log from now on."""
    if isinstance(runtime, LocalRuntime):
        log = os.fspath(runtime.run_dir / "logs" / "nginx.log")
        command = ["tail", "--lines=0", "-F", log]
    else:
        assert isinstance(runtime, ComposeRuntime)  # noqa: S101 - there are two runtimes
        container = runtime.containers()["nginx"]
        command = ["docker", "logs", "--follow", "--tail", "0", container.id]
    answers = Answers()
    with subprocess.Popen(
        command,
        env=in_service.environment(runtime),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe, as requested
        threading.Thread(target=answers.read, args=(process.stdout,), daemon=True).start()
        try:
            yield answers
        finally:
            process.kill()


# ── What is shown ────────────────────────────────────────────────────────────────────────────────


def tables_of(before: Look, after: Look, answers: Sequence[tuple[int, float]]) -> list[Table]:
    """Return what happened between two looks, with the requests of nginx's log meanwhile."""
    return [_requests(before, after, answers), _services(before, after), _workers(before, after)]


def _requests(before: Look, after: Look, answers: Sequence[tuple[int, float]]) -> Table:
    seconds = after.at - before.at
    times = sorted(spent for _, spent in answers)
    faults = sum(status >= 500 for status, _ in answers)
    requests = after.total("uwsgi_requests") - before.total("uwsgi_requests")
    wakes = "uwsgi_worker_voluntary_switches"
    woken = after.total(wakes) - before.total(wakes)
    waiting = after.total("uwsgi_listen_queue")
    queue = "?" if math.isnan(waiting) else f"{waiting:.0f}"  # a kernel that cannot say
    queue += f" of {after.total('uwsgi_listen_queue_max'):.0f}"
    return Table(
        [
            ("requests", "p50", "p99", "5xx", "connections", "queue", "wake-ups/request"),
            (
                f"{len(answers) / seconds:.1f}/s",
                _milliseconds(times, 0.5),
                _milliseconds(times, 0.99),
                str(faults),
                after.connections,
                queue,
                # Counters begin anew with another master.
                f"{woken / requests:.2f}" if requests > 0 and woken >= 0 else "-",
            ),
        ]
    )


def _milliseconds(times: Sequence[float], share: float) -> str:
    """Return a percentile of sorted *times* as nginx logs them, in whole milliseconds."""
    if not times:
        return "-"
    return f"{times[min(len(times) - 1, int(len(times) * share))] * 1000:.0f} ms"


def _services(before: Look, after: Look) -> Table:
    rows = [("service", "cpu", "memory")]
    for service in SERVICES:
        first, last = before.services.get(service), after.services.get(service)
        if first is None or last is None:
            rows.append((service, "-", "-"))
        else:
            spent = max(0.0, last[0] - first[0])
            memory = f"{last[1] / 1e6:.1f} MB" if last[1] else "-"
            rows.append((service, _percent(spent, after.at - before.at), memory))
    return Table(rows)


def _percent(spent: float, seconds: float) -> str:
    return f"{100 * spent / seconds:.0f} %"


def _workers(before: Look, after: Look) -> Table:
    seconds = after.at - before.at

    def grown(name: str, worker: str) -> float:
        first, last = (look.metrics.get(name, {}).get(worker, 0.0) for look in (before, after))
        return last - first if last >= first else last

    rows = [("worker", "pid", "busy", "requests", "cpu", "memory", "does")]
    for worker in sorted(after.metrics.get("uwsgi_worker_pid", {}), key=int):

        def value(name: str, worker: str = worker) -> float:
            return after.metrics.get(name, {}).get(worker, 0.0)

        rows.append(
            (
                worker,
                f"{value('uwsgi_worker_pid'):.0f}",
                f"{value('uwsgi_worker_busy_threads'):.0f}",
                f"{grown('uwsgi_requests', worker) / seconds:.1f}/s",
                _percent(grown("uwsgi_worker_cpu_seconds", worker), seconds),
                f"{value('uwsgi_worker_pss_bytes') / 1e6:.1f} MB",
                _does(after.doing.get(worker, ()), after.at),
            )
        )
    return Table(rows)


def _does(requests: Sequence[tuple[str, str, float]], now: float) -> str:
    parts = []
    for method, path, start in requests:
        shown = re.sub(r"[^\x20-\x7e]", "?", f"{method} {path}")[:60]
        parts.append(f"{shown} {max(0.0, now - start):.1f} s" if start else shown)
    return ", ".join(parts) or "-"
