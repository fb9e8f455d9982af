"""What is known of one trial, and what its figures mean.

A trial is one arm under one load in one block. Its record is a line of trials.jsonl: everything
that gates, verdicts and reports need is in it, so they can be made anew without a new run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# count: not touched by other work on the machine (CPU time excludes what was stolen).
# time:  touched by everything, good only where the machine was quiet.
# tally: shown and never compared as a ratio, because it is zero when all is well.
Kind = Literal["count", "time", "tally"]


@dataclass(frozen=True)
class Metric:
    """A figure of a trial. *better* is the direction that a reader would wish for."""

    name: str
    unit: str
    meaning: str
    kind: Kind
    better: Literal["lower", "higher"] = "lower"


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cpu_us", "µs", "CPU time a request: nginx, app and Redis", "count"),
        Metric("cpu_us_nginx", "µs", "CPU time a request: nginx", "count"),
        Metric(
            "cpu_us_app", "µs", "CPU time a request: the app's server and all its workers", "count"
        ),
        Metric("cpu_us_redis", "µs", "CPU time a request: Redis", "count"),
        Metric("wakeups", "", "voluntary context switches of the app's threads a request", "count"),
        Metric(
            "preemptions",
            "",
            "involuntary context switches of the app's threads a request",
            "count",
        ),
        Metric("eagain", "", "accepts a request that found nothing", "count"),
        Metric("redis_commands", "", "Redis commands a request", "count"),
        Metric(
            "balance", "", "coefficient of variation of requests over workers; 0 is even", "count"
        ),
        Metric("pss_mb", "MB", "memory of the app's processes after the load (PSS)", "count"),
        Metric(
            "uss_mb", "MB", "memory that only one of the app's processes has, summed (USS)", "count"
        ),
        Metric(
            "start_pss_mb", "MB", "memory of the app's processes before any load (PSS)", "count"
        ),
        Metric(
            "start_uss_mb", "MB", "private memory of the app's processes before any load", "count"
        ),
        Metric("rps", "1/s", "requests answered a second", "time", "higher"),
        Metric("p50_ms", "ms", "median response, from the intended moment of sending", "time"),
        Metric("p95_ms", "ms", "95th percentile of the response", "time"),
        Metric("p99_ms", "ms", "99th percentile of the response", "time"),
        Metric("service_p50_ms", "ms", "median from the actual sending to the answer", "time"),
        Metric("service_p95_ms", "ms", "95th percentile from the actual sending", "time"),
        Metric("service_p99_ms", "ms", "99th percentile from the actual sending", "time"),
        Metric("start_s", "s", "from the start to the first 200 through nginx", "time"),
        Metric("reload_s", "s", "from the command to the last new worker", "time"),
        Metric("stall_ms", "ms", "the longest that any request waited during the reload", "time"),
        Metric("failed", "", "requests that failed", "tally"),
    )
}


@dataclass(frozen=True)
class Void:
    """Why a trial must not be believed. *spoils* says which of its figures."""

    rule: str
    reason: str
    spoils: Literal["everything", "time"] = "everything"


@dataclass
class Evidence:
    """What the gates look at. None: not known, so the gates that need it say nothing."""

    errors: int | None = None  # no answer, or a status other than 200
    wrong: int | None = None  # 200, but not the expected body
    faults: list[str] = field(default_factory=list)  # the first few kinds of both: "3 x 502 …"
    intended: int | None = None  # open loop: arrivals of the schedule
    sent: int | None = None
    done: int | None = None
    dropped: int | None = None  # open loop: arrivals that could not be sent
    served: int | None = None  # what nginx counted for the same time
    seconds: float | None = None
    users: int | None = None  # closed loop
    mean_response_s: float | None = None
    slots: int | None = None  # processes times threads: requests that can be worked on at once
    holds_s: float | None = None  # the time that a request is known to hold a slot
    reported_rps: float | None = None  # a rate that somebody else states for the same run
    lag_p50_ms: float | None = None
    lag_p99_ms: float | None = None
    response_p50_ms: float | None = None
    generator_cpu: float | None = None  # share of one core
    generator_nice: int | None = None  # its priority that was in force; no gate asks for it
    stolen: float | None = None  # share of the machine's CPU time
    pressure: float | None = None  # share of the time in which some task waited for a CPU (PSI)
    idle_share: float | None = None  # rotation: share of a core, used in others' turns
    ended: int | None = None  # processes that ended under the load, with what they had used
    wrong_options: list[str] = field(default_factory=list)


@dataclass
class Trial:
    """One line of trials.jsonl.

    figures: metric name → value. rounds (rotation only): metric name → a value a round; the same
    index is the same round in every arm of the block. histograms: "response" and "service", as
    lab.measure.histogram writes them (µs). options: as the server reported them.
    """

    block: int
    arm: str
    load: str
    attempt: int
    began: str  # UTC, ISO 8601
    seconds: float
    requests: int
    figures: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    histograms: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    voids: list[Void] = field(default_factory=list)

    def good_for(self, metric: str) -> bool:
        """Whether *metric* of this trial may be used."""
        time = METRICS[metric].kind == "time"
        return not any(void.spoils == "everything" or time for void in self.voids)

    def to_json(self) -> str:
        """One line, without the newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Trial:
        """Raises ValueError, KeyError or TypeError for a line that is no trial."""
        fields: dict[str, Any] = json.loads(line)
        fields["evidence"] = Evidence(**fields["evidence"])
        fields["voids"] = [Void(**void) for void in fields["voids"]]
        return cls(**fields)
