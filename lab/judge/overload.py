"""Names the trials in which a server did not keep up with its load: they are `overloaded`.

That is a result and never voids a trial. A comparison in which an arm was overloaded in most blocks
is not about the cost or the latency of the same work any more, so it gets this verdict instead of
another one.

Three rules are arithmetic: Little's law, the rate that a number of slots can serve, and a reported
rate. They also find published figures that cannot be true (lab/tests/published/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.trial import Evidence

# Fewer failures change a mean by less than any margin: an error page is cheap, a timeout expensive.
ERRORS = 0.001
# A dropped arrival has no response time, and it was dropped because that would have been long.
DROPPED = 0.001

# Little's law is exact over a run whose users do not pause: users = rate times response time. The
# generator's own time between an answer and the next request takes a third at most. Beyond this
# factor requests hung, failed or were counted twice.
LITTLE = 1.5

# A slot that each request holds for S seconds serves 1/S requests per second. The excess allows for
# the clocks at both ends of the run.
UTILIZATION = 1.02

# A reported rate should be done/seconds. Durations are often reported as "10 s".
REPORTED = 0.05

# Response times count from the scheduled moment. Where the p99 of the delay until the sending is as
# long as the median response time, and longer than a time slice of Linux on shared cores (about
# 3 ms), the schedule was not kept: the machine has no time left for the generator.
LAG = 1.0
LAG_LEAST_MS = 3.0

Rule = Callable[[Evidence], str | None]


def errors(evidence: Evidence) -> str | None:
    if not evidence.errors:
        return None
    share = evidence.errors / max(evidence.sent or evidence.done or 0, evidence.errors)
    if share <= ERRORS:
        return None
    kinds = f": {'; '.join(evidence.faults)}" if evidence.faults else ""
    return f"{evidence.errors} requests failed ({share:.1%}){kinds}"


def dropped_arrivals(evidence: Evidence) -> str | None:
    if not evidence.dropped or not evidence.intended:
        return None
    share = evidence.dropped / evidence.intended
    if share <= DROPPED:
        return None
    return f"{evidence.dropped} of {evidence.intended} arrivals were not sent ({share:.1%})"


def late_schedule(evidence: Evidence) -> str | None:
    lag, response = evidence.lag_p99_ms, evidence.response_p50_ms
    if lag is None or response is None or lag <= max(LAG_LEAST_MS, LAG * response):
        return None
    return f"one request in a hundred was sent {lag:.1f} ms late or later"


def littles_law(evidence: Evidence) -> str | None:
    """Little 1961: users = rate times mean response time, if users do not pause."""
    rate = _rate(evidence)
    if rate is None or evidence.users is None or evidence.mean_response_s is None:
        return None
    busy = rate * evidence.mean_response_s
    if 1 / LITTLE <= busy / evidence.users <= LITTLE:
        return None
    return (
        f"{rate:.4g} requests/s of {evidence.mean_response_s * 1000:.4g} ms occupy {busy:.3g} "
        f"users, and there were {evidence.users}: requests hung, failed or were miscounted"
    )


def utilization_bound(evidence: Evidence) -> str | None:
    rate = _rate(evidence)
    if rate is None or not evidence.slots or not evidence.holds_s:
        return None
    most = evidence.slots / evidence.holds_s
    if rate <= most * UTILIZATION:
        return None
    return (
        f"{rate:.6g} requests/s, but {evidence.slots} slots that each request holds for "
        f"{evidence.holds_s * 1000:.4g} ms serve at most {most:.6g}: some were not answers"
    )


def reported_rate(evidence: Evidence) -> str | None:
    if evidence.reported_rps is None or evidence.done is None or not evidence.seconds:
        return None
    rate = evidence.done / evidence.seconds
    if abs(evidence.reported_rps - rate) <= REPORTED * rate:
        return None
    return (
        f"{evidence.reported_rps:.6g} requests/s are reported, but {evidence.done} in "
        f"{evidence.seconds:.4g} s are {rate:.6g}"
    )


RULES: Mapping[str, Rule] = {
    "errors": errors,
    "dropped arrivals": dropped_arrivals,
    "Little's law": littles_law,
    "utilization bound": utilization_bound,
    "reported rate": reported_rate,
    "late schedule": late_schedule,
}


def reasons(evidence: Evidence) -> dict[str, str]:
    """Rule → the reason for which a trial is overloaded; empty if the server kept up."""
    found = {name: rule(evidence) for name, rule in RULES.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def _rate(evidence: Evidence) -> float | None:
    """Requests per second; the reported rate where the requests are not known."""
    if evidence.done is not None and evidence.seconds:
        return evidence.done / evidence.seconds
    return evidence.reported_rps
