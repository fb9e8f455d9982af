"""Metrics of the app, with STACK_APP_METRICS=on; the mule serves them with its own at /metrics.

prometheus_client keeps them in files, here one for each worker's number and type. A worker that is
replaced continues the files of the one before it, so neither files nor series grow, and the mule
adds the files up. What the app itself counts with prometheus_client is kept in the same way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def directory() -> Path | None:
    """Return the folder of the files, which it creates, or None if the metrics are off."""
    if os.environ.get("STACK_APP_METRICS") != "on":
        return None
    folder = Path(os.environ["APP_RUN"], "app-metrics")
    folder.mkdir(exist_ok=True)
    return folder


def keep_in(folder: Path, worker: Callable[[], int]) -> None:
    """Let prometheus_client write to *folder*; call it before the app creates a metric.

    *worker* returns the number of this worker.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values  # noqa: PLC0415 - it reads the variable

    values.ValueClass = values.MultiProcessValue(worker)  # type: ignore[no-untyped-call]


def count_requests(app: Any) -> None:
    """Count and time the requests of *app*, a Flask app, by endpoint.

    A path or a method that the client chooses is no label: each would be a new series.
    """
    from flask import request, request_finished, request_started  # noqa: PLC0415
    from prometheus_client import Counter, Histogram  # noqa: PLC0415

    # Without a registry: the app may have metrics of these names.
    requests = Counter(
        "app_requests", "Requests by endpoint and status", ("endpoint", "status"), registry=None
    )
    seconds = Histogram(
        "app_request_seconds",
        "Time from the request to the head of its answer, in the app",
        ("endpoint",),
        buckets=BUCKETS,
        registry=None,
    )

    # labels() costs more than what it returns.
    counter = cache(requests.labels)
    histogram = cache(seconds.labels)

    def begin(_: Any, **__: Any) -> None:
        request.environ["app_metrics.begun"] = time.perf_counter()

    def end(_: Any, response: Any, **__: Any) -> None:
        took = time.perf_counter() - request.environ["app_metrics.begun"]
        endpoint = request.endpoint or "-"  # no rule has the path
        counter(endpoint, response.status_code).inc()
        histogram(endpoint).observe(took)

    # Weak references, the default, would end with this function.
    request_started.connect(begin, app, weak=False)
    request_finished.connect(end, app, weak=False)
