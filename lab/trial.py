"""The record of one trial, and the definition of its metrics.

A trial is one arm under one load in one block, a line of trials.jsonl. The line holds everything
that gates, verdict and report need, so each of them can be computed again without a new run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# count: independent of other work on the machine.
# cpu:   CPU time. It excludes stolen time, but what the host runs in that time empties the caches:
#        the same arm took 620 µs per request and, while much was stolen, 1,230.
# time:  affected by everything; valid only on a quiet machine.
# tally: shown but never compared as a ratio, because it is normally zero.
Kind = Literal["count", "cpu", "time", "tally"]
Spoils = Literal["everything", "cpu", "time"]
_SPOILT: Mapping[Spoils, tuple[Kind, ...]] = {
    "everything": ("count", "cpu", "time", "tally"),
    "cpu": ("cpu", "time"),
    "time": ("time",),
}

# The share of a rotation's slices that is cut at both ends before they are averaged. A slice that
# the machine interrupts costs several times as much as the others.
TRIM = 0.1

# The share of a slice that is sent before it and not measured. The caches of an arm are cold when
# its turn begins: its first requests cost more than those of an arm that runs alone.
LEAD = 0.25

# Shows one line of progress, replacing the previous one.
ShowStatus = Callable[[str], None]


class TrialFailed(Exception):
    """The arm did not start or the load could not be applied. Another attempt may succeed."""


@dataclass(frozen=True)
class Metric:
    """A figure of a trial. `label` heads columns and axes, `meaning` fits into a sentence.

    A response time counts from the scheduled send time, a service time from the actual one.
    """

    name: str
    unit: str
    label: str
    meaning: str
    kind: Kind
    better: Literal["lower", "higher"] = "lower"


# name, unit, label, meaning
_COUNTS = (
    ("cpu_us", "µs", "CPU per request", "CPU time per request (nginx, app and Redis)"),
    ("cpu_us_nginx", "µs", "CPU per request, nginx", "CPU time per request in nginx"),
    ("cpu_us_app", "µs", "CPU per request, app", "CPU time per request in the server and workers"),
    ("cpu_us_redis", "µs", "CPU per request, Redis", "CPU time per request in Redis"),
    ("wakeups", "", "wake-ups per request", "wake-ups per request (voluntary context switches)"),
    ("preemptions", "", "preemptions per request", "involuntary context switches per request"),
    ("eagain", "", "empty accepts per request", "accept() calls per request that found nothing"),
    ("redis_commands", "", "Redis commands per request", "Redis commands per request"),
    ("balance", "", "imbalance between workers", "coefficient of variation of requests per worker"),
    ("pss_mb", "MB", "memory after the load (PSS)", "memory of the app after the load (PSS)"),
    ("uss_mb", "MB", "private memory after the load (USS)", "private memory after the load (USS)"),
    ("start_pss_mb", "MB", "memory at the start (PSS)", "memory of the app before any load (PSS)"),
    ("start_uss_mb", "MB", "private memory at the start (USS)", "private memory before any load"),
)
_TIMES = (
    ("rps", "1/s", "requests per second", "requests answered per second"),
    ("p50_ms", "ms", "median response time", "median response time"),
    ("p95_ms", "ms", "p95 response time", "95th percentile of the response time"),
    ("p99_ms", "ms", "p99 response time", "99th percentile of the response time"),
    ("service_p50_ms", "ms", "median service time", "median service time"),
    ("service_p95_ms", "ms", "p95 service time", "95th percentile of the service time"),
    ("service_p99_ms", "ms", "p99 service time", "99th percentile of the service time"),
    ("start_s", "s", "start-up time", "time from the start to the first 200 through nginx"),
    ("reload_s", "s", "reload time", "time from the reload command to the last new worker"),
    ("stall_ms", "ms", "longest stall", "longest wait of a request during the reload"),
)
METRICS: Mapping[str, Metric] = {
    **{row[0]: Metric(*row, "cpu" if row[1] == "µs" else "count") for row in _COUNTS},
    **{row[0]: Metric(*row, "time", "higher" if row[0] == "rps" else "lower") for row in _TIMES},
    "failed": Metric("failed", "", "failed requests", "requests that failed", "tally"),
}


@dataclass(frozen=True)
class Void:
    """Why a trial is void. *spoils*: which of its figures must not be used: "cpu" stands for CPU
    time and times."""

    rule: str
    reason: str
    spoils: Spoils = "everything"

    def ruins(self, metric: Metric) -> bool:
        """Whether *metric* of the trial must not be used."""
        return metric.kind in _SPOILT[self.spoils]


@dataclass
class Evidence:
    """What is known about a trial besides its figures. A rule ignores a trial in which its fields
    are None (unknown).

    The gates (lab.judge.gates) read what tells about the machine and the bookkeeping. The others
    are results, which lab.judge.overload reads.
    """

    errors: int | None = None  # no answer, or a status other than 200
    wrong: int | None = None  # 200, but not the expected body
    faults: list[str] = field(default_factory=list)  # the first few kinds of both: "3 x 502 …"
    intended: int | None = None  # open loop: arrivals of the schedule
    sent: int | None = None
    done: int | None = None
    dropped: int | None = None  # open loop: arrivals that were not sent
    served: int | None = None  # requests that nginx counted in the same time
    seconds: float | None = None
    users: int | None = None  # closed loop
    mean_response_s: float | None = None
    slots: int | None = None  # processes times threads
    holds_s: float | None = None  # how long each request holds a slot, where known
    reported_rps: float | None = None  # a rate that another tool reports for the same run
    lag_p50_ms: float | None = None
    lag_p99_ms: float | None = None
    response_p50_ms: float | None = None
    generator_cpu: float | None = None  # share of one core
    generator_nice: int | None = None  # its priority; no gate reads it
    stolen: float | None = None  # share of the machine's CPU time
    pressure: float | None = None  # share of time in which a task waited for a CPU (PSI)
    idle_share: float | None = None  # rotation: share of a core used outside its own slices
    ended: int | None = None  # processes that ended under the load; their CPU time is lost
    wrong_options: list[str] = field(default_factory=list)


@dataclass
class Trial:
    """One line of trials.jsonl.

    figures: metric name → value. rounds (rotation only): metric name → one value per round; equal
    indexes are the same round in every arm of the block. histograms: "response" and "service" in
    the format of lab.measure.histogram (µs). options: as the server reported them.
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
        return not any(void.ruins(METRICS[metric]) for void in self.voids)

    def to_json(self) -> str:
        """One line, without the newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Trial:
        """Raises ValueError, KeyError or TypeError if *line* is not a trial."""
        fields: dict[str, Any] = json.loads(line)
        fields["evidence"] = Evidence(**fields["evidence"])
        fields["voids"] = [Void(**void) for void in fields["voids"]]
        return cls(**fields)
