"""The metrics mule: serves /metrics as Prometheus text on METRICS_LISTEN.

uWSGI starts, respawns and ends this process together with the workers. It does not import the app,
with lazy-apps on or off, and waits for a connection between two scrapes. The listening socket is
shared by all generations, and the mule of the one that serves answers: a reload leaves no gap, and
no series comes twice.

The figures come from the master's statistics (requests, harakiri, respawns, listen queue), from
/proc (memory, context switches) and from the CPU clocks of the processes. Options are the effective
ones from `uwsgi.opt`, not the requested ones from the environment.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

uwsgi = sys.modules["uwsgi"]  # uWSGI's own; the directory of that name cannot be imported
# By its path: a preforked app may have imported a module of its own that is called `master`.
_master = runpy.run_path(str(Path(__file__).with_name("master.py")))
statistics, serves = _master["statistics"], _master["serves"]
backlog = runpy.run_path(str(Path(__file__).with_name("backlog.py")))["backlog"]
app_metrics = runpy.run_path(str(Path(__file__).with_name("app_metrics.py")))["directory"]
_unhandled = runpy.run_path(str(Path(__file__).with_name("unhandled.py")))["Unhandled"]
exceptions = _unhandled(uwsgi.sharedarea_memoryview(0), uwsgi.worker_id)

RUN = Path(os.environ["APP_RUN"])

OPTIONS = {
    *("thunder-lock", "lazy-apps", "processes", "threads", "listen", "harakiri", "max-requests"),
    *("max-worker-lifetime", "buffer-size", "max-fd", "worker-reload-mercy", "master"),
}


# From the master's statistics and unhandled.py, then what _process() returns.
WORKER_METRICS = (
    (CounterMetricFamily, "uwsgi_requests", "Requests handled by all processes of this worker"),
    (CounterMetricFamily, "uwsgi_exceptions", "Exceptions that the app did not handle"),
    (CounterMetricFamily, "uwsgi_harakiri", "Kills because of harakiri"),
    (CounterMetricFamily, "uwsgi_respawns", "Restarts of this worker"),
    (GaugeMetricFamily, "uwsgi_worker_pid", "Pid of the current process"),
    (GaugeMetricFamily, "uwsgi_worker_busy_threads", "Threads that handle a request"),
    (CounterMetricFamily, "uwsgi_worker_cpu_seconds", "CPU time of the process"),
    (GaugeMetricFamily, "uwsgi_worker_pss_bytes", "Memory; a page of n processes counts 1/n"),
    (GaugeMetricFamily, "uwsgi_worker_uss_bytes", "Memory that no other process shares"),
    (CounterMetricFamily, "uwsgi_worker_voluntary_switches", "Wake-ups of all threads"),
    (CounterMetricFamily, "uwsgi_worker_involuntary_switches", "Preemptions of all threads"),
)


class Workers:
    """Collects all figures at each scrape."""

    def collect(self) -> Iterator[Metric]:
        document = statistics(RUN)
        options = _options()
        waiting = document["listen_queue"]  # of the TCP socket
        if inode := int(os.environ.get("APP_SOCKET_INODE", "0")):
            try:
                waiting = max(waiting, backlog(inode)[0])
            except OSError:  # a kernel without sock_diag
                waiting = float("nan")
        yield GaugeMetricFamily(
            "uwsgi_listen_queue", "Connections waiting for a worker at the fuller socket", waiting
        )
        yield GaugeMetricFamily(
            "uwsgi_listen_queue_max",
            "Connections that fit into the listen queue",
            options.get("listen", 0.0),
        )
        if RUN.name.isdigit():  # started by uwsgi/entrypoint
            since = RUN.with_name("current").lstat().st_mtime
            text = "Number of the generation that serves; each reload starts another"
            yield GaugeMetricFamily("uwsgi_generation", text, int(RUN.name))
            text = "Unix time at which this generation took over"
            yield GaugeMetricFamily("uwsgi_generation_timestamp_seconds", text, since)
            status = json.loads(RUN.with_name("status.json").read_text(encoding="utf-8"))
            text = "1 if the last reload failed and the generation before it serves on"
            yield GaugeMetricFamily("uwsgi_reload_failed", text, bool(status["failure"]))
        yield _states(document["workers"])
        yield from _by_worker(document["workers"])
        family = GaugeMetricFamily(
            "uwsgi_option", "Effective options of uWSGI; on is 1, off is 0", labels=["name"]
        )
        for name, value in options.items():
            family.add_metric([name.replace("-", "_")], value)
        yield family


def _states(workers: list[dict[str, Any]]) -> Metric:
    """Count the workers. One is busy while at least one of its threads handles a request."""
    states = dict.fromkeys(("busy", "idle", "starting"), 0)
    for worker in workers:
        if not worker["pid"] or not worker["accepting"]:
            states["starting"] += 1
        else:
            states["busy" if _busy_threads(worker) else "idle"] += 1
    family = GaugeMetricFamily("uwsgi_workers", "Workers by state", labels=["state"])
    for state, count in states.items():
        family.add_metric([state], count)
    return family


def _busy_threads(worker: dict[str, Any]) -> int:
    return sum(core["in_request"] for core in worker["cores"])


def _by_worker(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    families = [kind(name, text, labels=["worker"]) for kind, name, text in WORKER_METRICS]
    for worker in workers:
        figures = [
            worker["requests"],
            exceptions[worker["id"]],
            worker["harakiri_count"],
            max(0, worker["respawn_count"] - 1),  # uWSGI counts the first start
            worker["pid"],
            _busy_threads(worker),
        ]
        with suppress(OSError, ValueError):  # the process ended after the statistics were read
            figures += _process(worker["pid"])
        for family, figure in zip(families, figures, strict=False):
            family.add_metric([str(worker["id"])], figure)
    yield from families


def _process(pid: int) -> tuple[float, int, int, int, int]:
    """Return CPU seconds, PSS and USS in bytes, voluntary and involuntary context switches.

    Raises OSError if the process has ended.
    """
    # The kernel's MAKE_PROCESS_CPUCLOCK: nanoseconds, where /proc/PID/stat has ticks of 10 ms.
    cpu = time.clock_gettime((~pid << 3) | 2)
    memory = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    switches = [0, 0]
    # /proc/PID/status counts the main thread only.
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = _fields(task / "status")
        switches[0] += status["voluntary_ctxt_switches"]
        switches[1] += status["nonvoluntary_ctxt_switches"]
    private = memory["Private_Clean"] + memory["Private_Dirty"]
    return cpu, memory["Pss"] * 1024, private * 1024, switches[0], switches[1]


def _fields(file: Path) -> dict[str, int]:
    fields = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, colon, rest = line.partition(":")
        value = rest.split()
        if colon and value and value[0].isdigit():
            fields[name] = int(value[0])
    return fields


def _options() -> dict[str, float]:
    # As uwsgi_opt_true() of core/uwsgi.c reads them; a bare flag is True.
    words = {"off": 0.0, "false": 0.0, "no": 0.0, "on": 1.0, "true": 1.0, "yes": 1.0}
    found = {}
    for name in sorted(OPTIONS & uwsgi.opt.keys()):
        text = uwsgi.opt[name]
        text = "true" if text is True else text.decode()
        found[name] = float(text) if text.isdigit() else words.get(text, 1.0)
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers GET /metrics and nothing else."""

    timeout = 5  # seconds: a silent client must not block the scraper
    server_version = "uwsgi-exporter"
    sys_version = ""
    registry: CollectorRegistry

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        try:
            body = generate_latest(self.registry)
        except OSError as error:
            self.send_error(503, explain=f"uWSGI's master does not respond: {error}")
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: scrapes would fill most of the log."""


def serve() -> None:
    Handler.registry = CollectorRegistry(auto_describe=False)
    Handler.registry.register(Workers())
    if folder := app_metrics():
        MultiProcessCollector(Handler.registry, str(folder))  # type: ignore[no-untyped-call]
    server = HTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(os.environ["METRICS_FD"]))
    server.timeout = 0
    while True:
        # serve_forever() would wake up twice a second to look for a shutdown request.
        select.select([server.socket], [], [])
        if serves(RUN):
            server.handle_request()
        else:
            time.sleep(0.05)  # another generation takes this connection


if __name__ == "__main__":
    serve()
