"""The record of one request: what ran, inside what, and for how long.

Times are seconds of `time.perf_counter()` since the WSGI call began. Spans nest: a span's depth is
the number of spans that were open when it began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wsgi import get_path_info

# A request that loops over Redis has more; the rest is counted.
MOST_SPANS = 200

_current: ContextVar[Trace | None] = ContextVar("inside_trace", default=None)


@dataclass(slots=True)
class Span:
    """One thing that ran. *end* is None while it runs."""

    layer: str  # WSGI, Flask or Redis
    name: str
    depth: int
    begin: float
    end: float | None = None
    detail: str = ""

    @property
    def took(self) -> float | None:
        return None if self.end is None else self.end - self.begin


@dataclass
class Trace:
    """One request in one worker. It keeps no header, no query string, no form and no reply."""

    method: str
    path: str
    request_id: str
    worker: dict[str, Any]
    nginx: dict[str, Any]
    began: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)  # seconds since the epoch
    spans: list[Span] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: int = 0
    depth: int = 0
    user_id: str | None = None

    @contextmanager
    def span(self, layer: str, name: str, detail: str = "") -> Iterator[Span]:
        """Record what runs in the block. Its exceptions pass."""
        one = Span(layer, name, self.depth, self.now(), detail=detail)
        if len(self.spans) < MOST_SPANS:
            self.spans.append(one)
        else:
            self.left_out += 1
        self.depth += 1
        try:
            yield one
        finally:
            # Not minus one: a template that fails leaves its span open.
            self.depth = one.depth
            one.end = self.now()

    def now(self) -> float:
        return time.perf_counter() - self.began

    def total(self, layer: str) -> float:
        """The seconds of the ended spans of *layer*. Spans of Redis do not nest."""
        return sum(s.took or 0.0 for s in self.spans if s.layer == layer)

    def server_timing(self) -> str:
        """The value of the header ``Server-Timing``, in milliseconds, for the network panel."""
        parts = [f'app;dur={1000 * self.now():.2f};desc="WSGI call until its headers"']
        if self.total("Redis"):
            parts.append(f'redis;dur={1000 * self.total("Redis"):.2f};desc="Redis"')
        for one in self.spans:
            if one.name.startswith("view ") and one.took is not None:
                parts.append(f'view;dur={1000 * one.took:.2f};desc="the view"')
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The document of `?format=json` and of a kept trace. Times are milliseconds."""
        return {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "at": self.at,
            "user_id": self.user_id,
            "worker": self.worker,
            "nginx": self.nginx,
            "facts": self.facts,
            "spans": [
                {
                    "layer": s.layer,
                    "name": s.name,
                    "detail": s.detail,
                    "depth": s.depth,
                    "begin_ms": round(1000 * s.begin, 3),
                    "took_ms": None if s.took is None else round(1000 * s.took, 3),
                }
                for s in self.spans
            ],
            "left_out": self.left_out,
        }


def current() -> Trace | None:
    """The trace of the request that this thread answers; None outside of a traced request."""
    return _current.get()


@contextmanager
def recording(trace: Trace) -> Iterator[None]:
    """Make *trace* the current one in the block."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def begin(environ: dict[str, Any], worker: dict[str, Any]) -> Trace:
    """A new trace for the request in *environ*."""
    return Trace(
        method=environ["REQUEST_METHOD"],
        path=environ.get("SCRIPT_NAME", "") + get_path_info(environ),
        request_id=environ.get("HTTP_X_REQUEST_ID", ""),
        worker=worker,
        nginx=_nginx(environ.get("NGINX_TIMES", "")),
    )


def _nginx(times: str) -> dict[str, Any]:
    """What nginx said when it handed the request over; empty without nginx.

    ``$msec $request_time $connection_requests $ssl_protocol``: the time of day, the seconds since
    the first byte of the request (both in steps of a millisecond), the number of the request on its
    connection, and the version of TLS.
    """
    try:
        handed_over, read, number, *tls = times.split()
        return {
            "handed_over_at": float(handed_over),
            "read_ms": round(1000 * float(read)),
            "request_of_connection": int(number),
            "tls": tls[0] if tls else "none",
        }
    except ValueError:
        return {}
