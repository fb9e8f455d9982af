"""The metrics mule: serves /metrics as Prometheus text on METRICS_LISTEN.

A process beside the workers that uWSGI starts, respawns and ends with them. It imports nothing of
the app, in either mode of loading, and does nothing between two scrapes: it waits in accept().

Where figures come from: the master's statistics (requests, harakiri, respawns, the listen queue),
/proc (memory, context switches) and the processes' CPU clocks. Options are those that uWSGI read,
`uwsgi.opt`, not what our environment asked for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import uwsgi
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

# uWSGI runs this file by its path, without putting its folder on sys.path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

from master import statistics

RUN = Path(os.environ["APP_RUN"])
ANSWER_SECONDS = 5

OPTIONS = (
    *("thunder-lock", "lazy-apps", "processes", "threads", "listen", "harakiri", "max-requests"),
    *("max-worker-lifetime", "buffer-size", "max-fd", "worker-reload-mercy", "master"),
)


class Workers:
    """Collects everything anew for each scrape."""

    def collect(self) -> Iterator[Metric]:
        document = statistics(RUN)
        yield from _queue(document)
        yield from _states(document["workers"])
        yield from _by_worker(document["workers"])
        yield from _options()


def _queue(document: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "uwsgi_listen_queue",
        "Connections that wait for a worker",
        value=document["listen_queue"],
    )
    yield GaugeMetricFamily(
        "uwsgi_listen_queue_max",
        "Connections that may wait before the kernel refuses more",
        value=float(_options_in_force().get("listen", 0)),
    )


def _states(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    """A worker is busy while any of its threads answers a request."""
    states = dict.fromkeys(("busy", "idle", "starting"), 0)
    for worker in workers:
        if not worker["pid"] or not worker["accepting"]:
            states["starting"] += 1
        else:
            states["busy" if _answering(worker) else "idle"] += 1
    family = GaugeMetricFamily("uwsgi_workers", "Workers by what they do", labels=["state"])
    for state, count in states.items():
        family.add_metric([state], count)
    yield family


def _answering(worker: dict[str, Any]) -> int:
    """How many of its threads answer a request."""
    return sum(core["in_request"] for core in worker["cores"])


def _by_worker(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    def counter(name: str, text: str) -> CounterMetricFamily:
        return CounterMetricFamily(name, text, labels=["worker"])

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, text, labels=["worker"])

    requests = counter("uwsgi_requests", "Requests answered, by all processes of this worker")
    exceptions = counter("uwsgi_exceptions", "Exceptions that the app let through to uWSGI")
    harakiri = counter("uwsgi_harakiri", "Kills because a request took too long")
    respawns = counter("uwsgi_respawns", "Times that this worker was started again")
    pid = gauge("uwsgi_worker_pid", "Its process now")
    busy = gauge("uwsgi_worker_busy_threads", "Its threads that answer a request")
    cpu = counter("uwsgi_worker_cpu_seconds", "CPU time of its process")
    pss = gauge("uwsgi_worker_pss_bytes", "Memory; a page shared by n processes counts 1/n")
    uss = gauge("uwsgi_worker_uss_bytes", "Memory that only this process has")
    voluntary = counter("uwsgi_worker_voluntary_switches", "Wake-ups, over all its threads")
    involuntary = counter("uwsgi_worker_involuntary_switches", "Times that a core was taken away")
    for worker in workers:
        label = [str(worker["id"])]
        requests.add_metric(label, worker["requests"])
        exceptions.add_metric(label, worker["exceptions"])
        harakiri.add_metric(label, worker["harakiri_count"])
        # The first start is not a respawn, and uWSGI counts it.
        respawns.add_metric(label, max(0, worker["respawn_count"] - 1))
        pid.add_metric(label, worker["pid"])
        busy.add_metric(label, _answering(worker))
        try:
            used = _process(worker["pid"])
        except (OSError, ValueError):
            continue  # it has ended between the two questions
        for family, value in zip((cpu, pss, uss, voluntary, involuntary), used, strict=True):
            family.add_metric(label, value)
    yield from (requests, exceptions, harakiri, respawns, pid, busy)
    yield from (cpu, pss, uss, voluntary, involuntary)


def _process(pid: int) -> tuple[float, int, int, int, int]:
    """CPU seconds, PSS and USS in bytes, voluntary and involuntary switches. Raises OSError."""
    # MAKE_PROCESS_CPUCLOCK of the kernel: nanoseconds, where /proc/PID/stat has ticks of 10 ms.
    cpu = time.clock_gettime((~pid << 3) | 2)
    memory = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    switches = [0, 0]
    # /proc/PID/status speaks of the main thread alone.
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
        "uwsgi_option", "Options as uWSGI read them; on is 1, off is 0", labels=["name"]
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
        # What uwsgi_opt_true of core/uwsgi.c takes for false; a bare flag is True.
        words = {"off": 0.0, "false": 0.0, "no": 0.0, "on": 1.0, "true": 1.0, "yes": 1.0}
        found[key] = float(text) if text is True or text.isdigit() else words.get(text, 1.0)
    return found


class Handler(BaseHTTPRequestHandler):
    """GET /metrics, and nothing else."""

    timeout = ANSWER_SECONDS  # a scraper that says nothing must not keep the others out
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
            self.send_error(503, explain=f"uWSGI's master does not answer: {error}")
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A line a scrape would be most of the log."""


def serve() -> None:
    host, _, port = os.environ["METRICS_LISTEN"].rpartition(":")
    Handler.registry = CollectorRegistry(auto_describe=False)
    Handler.registry.register(Workers())  # type: ignore[arg-type]
    server = HTTPServer((host.strip("[]"), int(port)), Handler)
    while True:
        # Not serve_forever(): that wakes up twice a second to see whether it should end.
        server.handle_request()


serve()
