"""The metrics mule: serves /metrics as Prometheus text on METRICS_LISTEN.

uWSGI starts, respawns and ends this process together with the workers. It does not import the app,
with lazy-apps on or off, and waits in accept() between two scrapes.

The figures come from the master's statistics (requests, harakiri, respawns, listen queue), from
/proc (memory, context switches) and from the CPU clocks of the processes. Options are the effective
ones from `uwsgi.opt`, not the requested ones from the environment.
"""

from __future__ import annotations

import os
import runpy
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import uwsgi
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

# By its path: a preforked app may have imported a module of its own that is called `master`.
statistics = runpy.run_path(str(Path(__file__).with_name("master.py")))["statistics"]

RUN = Path(os.environ["APP_RUN"])
CLIENT_SECONDS = 5

OPTIONS = (
    *("thunder-lock", "lazy-apps", "processes", "threads", "listen", "harakiri", "max-requests"),
    *("max-worker-lifetime", "buffer-size", "max-fd", "worker-reload-mercy", "master"),
)


class Workers:
    """Collects all figures at each scrape."""

    def collect(self) -> Iterator[Metric]:
        document = statistics(RUN)
        yield from _queue(document)
        yield from _states(document["workers"])
        yield from _by_worker(document["workers"])
        yield from _options()


def _queue(document: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "uwsgi_listen_queue",
        "Connections waiting for a worker",
        value=document["listen_queue"],
    )
    yield GaugeMetricFamily(
        "uwsgi_listen_queue_max",
        "Connections that fit into the listen queue",
        value=float(_options_in_force().get("listen", 0)),
    )


def _states(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    """A worker is busy while at least one of its threads handles a request."""
    states = dict.fromkeys(("busy", "idle", "starting"), 0)
    for worker in workers:
        if not worker["pid"] or not worker["accepting"]:
            states["starting"] += 1
        else:
            states["busy" if _busy_threads(worker) else "idle"] += 1
    family = GaugeMetricFamily("uwsgi_workers", "Workers by state", labels=["state"])
    for state, count in states.items():
        family.add_metric([state], count)
    yield family


def _busy_threads(worker: dict[str, Any]) -> int:
    """Return how many of the worker's threads are handling a request."""
    return sum(core["in_request"] for core in worker["cores"])


def _by_worker(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    def counter(name: str, text: str) -> CounterMetricFamily:
        return CounterMetricFamily(name, text, labels=["worker"])

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, text, labels=["worker"])

    requests = counter("uwsgi_requests", "Requests handled by all processes of this worker")
    exceptions = counter("uwsgi_exceptions", "Exceptions that reached uWSGI")
    harakiri = counter("uwsgi_harakiri", "Kills because of harakiri")
    respawns = counter("uwsgi_respawns", "Restarts of this worker")
    pid = gauge("uwsgi_worker_pid", "Pid of the current process")
    busy = gauge("uwsgi_worker_busy_threads", "Threads that handle a request")
    cpu = counter("uwsgi_worker_cpu_seconds", "CPU time of the process")
    pss = gauge(
        "uwsgi_worker_pss_bytes", "Memory, with a page shared by n processes counted as 1/n"
    )
    uss = gauge("uwsgi_worker_uss_bytes", "Memory that no other process shares")
    voluntary = counter("uwsgi_worker_voluntary_switches", "Wake-ups of all threads")
    involuntary = counter("uwsgi_worker_involuntary_switches", "Preemptions of all threads")
    cost = (cpu, pss, uss, voluntary, involuntary)
    for worker in workers:
        label = [str(worker["id"])]
        requests.add_metric(label, worker["requests"])
        exceptions.add_metric(label, worker["exceptions"])
        harakiri.add_metric(label, worker["harakiri_count"])
        # uWSGI counts the first start as a respawn.
        respawns.add_metric(label, max(0, worker["respawn_count"] - 1))
        pid.add_metric(label, worker["pid"])
        busy.add_metric(label, _busy_threads(worker))
        try:
            used = _process(worker["pid"])
        except (OSError, ValueError):
            continue  # the process ended after the statistics were read
        for family, value in zip(cost, used, strict=True):
            family.add_metric(label, value)
    yield from (requests, exceptions, harakiri, respawns, pid, busy)
    yield from cost


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


def _options() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "uwsgi_option", "Effective options of uWSGI; on is 1, off is 0", labels=["name"]
    )
    for name, value in _options_in_force().items():
        family.add_metric([name.replace("-", "_")], value)
    yield family


def _options_in_force() -> dict[str, float]:
    found = {}
    for name, raw in uwsgi.opt.items():
        key = name.decode() if isinstance(name, bytes) else name
        if key not in OPTIONS:
            continue
        text = raw.decode() if isinstance(raw, bytes) else raw
        # As uwsgi_opt_true() of core/uwsgi.c reads them; a bare flag is True.
        words = {"off": 0.0, "false": 0.0, "no": 0.0, "on": 1.0, "true": 1.0, "yes": 1.0}
        found[key] = float(text) if text is True or text.isdigit() else words.get(text, 1.0)
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers GET /metrics and nothing else."""

    timeout = CLIENT_SECONDS  # a silent client must not block the scraper
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
    host, _, port = os.environ["METRICS_LISTEN"].rpartition(":")
    Handler.registry = CollectorRegistry(auto_describe=False)
    Handler.registry.register(Workers())  # type: ignore[arg-type]
    server = HTTPServer((host.strip("[]"), int(port)), Handler)
    while True:
        # serve_forever() would wake up twice a second to look for a shutdown request.
        server.handle_request()


serve()
