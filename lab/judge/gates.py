"""Rules that void a trial whose figures must not be used.

A rule receives the evidence alone: not the arm and not its figures. A rule that saw them could
select trials by their outcome. For the same reason an unusual time does not void a trial; only its
cause on the machine does.

Requests that failed, were not counted, or ran without the option in question spoil *everything*. A
machine that was stolen from, or a generator that sent late, spoils *times* only: CPU time excludes
stolen time, and a late request wakes as many threads as a punctual one.

CPU pressure (Evidence.pressure) voids nothing. Most of it comes from the arm's own threads waiting
for each other, so a limit would judge arms. The report does show it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from lab.trial import Evidence, Metric, Trial, Void

# Fewer failures change a mean by less than any margin: an error page is cheap, a timeout expensive.
ERRORS = 0.001

# nginx and the generator count the same requests, except those in flight at either end of the
# measured interval: at most one per user, and this share.
UNCOUNTED = 0.001

# Little's law is exact over a run whose users do not pause: users = rate times response time. The
# generator's own time between an answer and the next request is missing.
LITTLE = 0.05
# Beyond this factor requests were lost, hung, or counted twice.
LITTLE_BROKEN = 1.5

# A slot that each request holds for S seconds serves 1/S requests per second. The excess allows for
# the clocks at both ends of the run.
UTILIZATION = 1.02

# A reported rate should be done/seconds. Durations are often reported as "10 s".
REPORTED = 0.05

# A dropped arrival has no response time, and it was dropped because that would have been long. The
# limit is the one for errors.
DROPPED = 0.001
# Beyond this share the arm ran under another load than its neighbours.
DROPPED_OTHER_LOAD = 0.05

# Response times count from the scheduled send time, so they include the generator's delay: at most
# a tenth of the median response at the median, and one median response at p99.
LAG_P50 = 0.1
LAG_P99 = 1.0
# Delays that are always allowed: an iteration of the generator's loop, and a time slice of Linux
# (about 3 ms) on cores that it shares.
LAG_P50_LEAST_MS = 0.25
LAG_P99_LEAST_MS = 3.0

# The generator is one thread. At this utilization an event waits for two others on average (M/D/1:
# 0.8 / (2 * 0.2)), and that grows without bound towards 1. Stolen time lowers the limit: where 0.4
# is stolen, a generator at 0.6 is saturated.
GENERATOR = 0.8

# Of all cores together. A host steals in slices of milliseconds, the size of what is measured.
STOLEN = 0.10
# A trial that lost twice as much as the median of its block is not comparable with it...
STOLEN_UNLIKE = 2.0
# ... if that is more than a throughput can be resolved.
STOLEN_LEAST = 0.03

# CPU time that an idle arm may use during its neighbours' slices: a hundredth of two cores. A
# server that polls (granian) uses less than half of that.
IDLE = 0.02

Rule = Callable[[Evidence], Void | None]


def errors(evidence: Evidence) -> Void | None:
    """Failures during a reload are its result: its evidence leaves `errors` None."""
    if not evidence.errors:
        return None
    share = evidence.errors / max(evidence.sent or evidence.done or 0, evidence.errors)
    if share <= ERRORS:
        return None
    return Void(
        "errors",
        f"{evidence.errors} requests failed ({share:.1%}, at most {ERRORS:.1%}){_kinds(evidence)}",
    )


def wrong_bodies(evidence: Evidence) -> Void | None:
    if not evidence.wrong:
        return None
    return Void(
        "wrong bodies",
        f"{evidence.wrong} answers had an unexpected body (at most 0){_kinds(evidence)}",
    )


def served_is_done(evidence: Evidence) -> Void | None:
    if evidence.served is None or evidence.done is None:
        return None
    allowed = (evidence.users or 1) + UNCOUNTED * evidence.done + (evidence.errors or 0)
    if abs(evidence.served - evidence.done) <= allowed:
        return None
    return Void(
        "served is not done",
        f"nginx counted {evidence.served} requests, the generator {evidence.done}: "
        "requests were lost, or another client was served",
    )


def littles_law(evidence: Evidence) -> Void | None:
    """Little 1961: users = rate times mean response time, if users do not pause."""
    rate = _rate(evidence)
    if rate is None or evidence.users is None or evidence.mean_response_s is None:
        return None
    busy = rate * evidence.mean_response_s
    share = busy / evidence.users
    if abs(share - 1) <= LITTLE:
        return None
    broken = not 1 / LITTLE_BROKEN <= share <= LITTLE_BROKEN
    cause = (
        "requests hung, or were miscounted" if broken else "the generator was slow, or some hung"
    )
    return Void(
        "Little's law",
        f"{rate:.4g} requests/s of {evidence.mean_response_s * 1000:.4g} ms occupy {busy:.3g} "
        f"users, and there were {evidence.users}: {cause}",
        "everything" if broken else "time",
    )


def utilization_bound(evidence: Evidence) -> Void | None:
    rate = _rate(evidence)
    if rate is None or not evidence.slots or not evidence.holds_s:
        return None
    most = evidence.slots / evidence.holds_s
    if rate <= most * UTILIZATION:
        return None
    return Void(
        "utilization bound",
        f"{rate:.6g} requests/s, but {evidence.slots} slots that each request holds for "
        f"{evidence.holds_s * 1000:.4g} ms serve at most {most:.6g}: some were not answers",
    )


def reported_rate(evidence: Evidence) -> Void | None:
    if evidence.reported_rps is None or evidence.done is None or not evidence.seconds:
        return None
    rate = evidence.done / evidence.seconds
    if abs(evidence.reported_rps - rate) <= REPORTED * rate:
        return None
    return Void(
        "reported rate",
        f"{evidence.reported_rps:.6g} requests/s are reported, but {evidence.done} in "
        f"{evidence.seconds:.4g} s are {rate:.6g}",
    )


def dropped_arrivals(evidence: Evidence) -> Void | None:
    if not evidence.dropped or not evidence.intended:
        return None
    share = evidence.dropped / evidence.intended
    if share <= DROPPED:
        return None
    return Void(
        "dropped arrivals",
        f"{evidence.dropped} of {evidence.intended} arrivals were not sent ({share:.1%}, "
        f"at most {DROPPED:.1%})",
        "everything" if share > DROPPED_OTHER_LOAD else "time",
    )


def send_lag(evidence: Evidence) -> Void | None:
    response = evidence.response_p50_ms
    if response is None:
        return None
    for name, lag, limit, least in (
        ("median", evidence.lag_p50_ms, LAG_P50, LAG_P50_LEAST_MS),
        ("p99", evidence.lag_p99_ms, LAG_P99, LAG_P99_LEAST_MS),
    ):
        most = max(least, limit * response)
        if lag is not None and lag > most:
            return Void(
                "send lag",
                f"the {name} of the generator's delay was {lag:.2f} ms (at most {most:.2f} ms at a "
                f"median response time of {response:.2f} ms)",
                "time",
            )
    return None


def generator_cpu(evidence: Evidence) -> Void | None:
    if evidence.generator_cpu is None:
        return None
    limit = GENERATOR * (1 - (evidence.stolen or 0))
    if evidence.generator_cpu <= limit:
        return None
    return Void(
        "generator CPU",
        f"the generator used {evidence.generator_cpu:.0%} of a core (at most {limit:.0%})",
        "time",
    )


def stolen_cpu(evidence: Evidence) -> Void | None:
    if evidence.stolen is None or evidence.stolen <= STOLEN:
        return None
    return Void(
        "stolen CPU",
        f"the host stole {evidence.stolen:.0%} of the machine's CPU time (at most {STOLEN:.0%})",
        "time",
    )


def idle_arms(evidence: Evidence) -> Void | None:
    if evidence.idle_share is None or evidence.idle_share <= IDLE:
        return None
    return Void(
        "idle arm",
        f"outside its own slices it used {evidence.idle_share:.1%} of a core (at most {IDLE:.0%})",
    )


def ended_processes(evidence: Evidence) -> Void | None:
    if not evidence.ended:
        return None
    return Void(
        "ended processes",
        f"{evidence.ended} processes ended under the load, and their CPU time is lost: workers "
        "crashed or were replaced (STACK_MAX_REQUESTS, STACK_MAX_WORKER_LIFETIME)",
    )


def options_in_force(evidence: Evidence) -> Void | None:
    if not evidence.wrong_options:
        return None
    return Void("wrong options", "; ".join(evidence.wrong_options))


RULES: Sequence[Rule] = (
    options_in_force,
    ended_processes,
    errors,
    wrong_bodies,
    served_is_done,
    reported_rate,
    utilization_bound,
    littles_law,
    idle_arms,
    dropped_arrivals,
    generator_cpu,
    send_lag,
    stolen_cpu,
)


def judge(trial: Trial, *, primary: Metric) -> list[Void]:
    """Every void of *trial*, those that spoil *primary* first."""
    found = [void for rule in RULES if (void := rule(trial.evidence)) is not None]
    return sorted(found, key=lambda void: not spoils(void, primary))


def relative(block: Sequence[Trial]) -> list[list[Void]]:
    """The voids that only a comparison within a block shows, for each of its trials in order.

    *block*: the trials of one block under one load.
    """
    known = [trial.evidence.stolen for trial in block if trial.evidence.stolen is not None]
    if len(known) < 3:  # of two, neither is the outlier
        return [[] for _ in block]
    usual = median(known)
    limit = max(STOLEN_LEAST, STOLEN_UNLIKE * usual)
    found = []
    for trial in block:
        stolen = trial.evidence.stolen
        reason = (
            f"the host stole {stolen or 0:.1%} of the CPU time, {usual:.1%} in its block's median"
        )
        outlier = stolen is not None and stolen > limit
        found.append([Void("stolen unlike its block", reason, "time")] if outlier else [])
    return found


def spoils(void: Void, metric: Metric) -> bool:
    """Whether this void makes *metric* unusable, so that the trial is repeated."""
    return void.spoils == "everything" or metric.kind == "time"


def _kinds(evidence: Evidence) -> str:
    return f": {'; '.join(evidence.faults)}" if evidence.faults else ""


def _rate(evidence: Evidence) -> float | None:
    """Requests per second; the reported rate where the requests are not known."""
    if evidence.done is not None and evidence.seconds:
        return evidence.done / evidence.seconds
    return evidence.reported_rps
