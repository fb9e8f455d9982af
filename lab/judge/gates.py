"""When a trial must not be believed.

Every rule gets the evidence alone: not the arm, not its figures, not what they would mean for the
verdict. A rule that could see them would pick the trials that it likes. For the same reason a time
that is unlike the others of its block is no reason to void it: only what the machine did is.

Two kinds of damage are kept apart. Requests that failed, were not counted, or ran without the
option in question spoil *everything*. A machine that was taken away for a while, or a generator
that came late, spoils *times* only: CPU time excludes what the host stole, and a request that was
sent late wakes as many threads as one that was sent in time.

Not a rule: the pressure on the CPU (Evidence.pressure). The arm's own threads that wait for each
other make most of it, so a limit would judge arms. It is recorded and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from lab.trial import Evidence, Metric, Trial, Void

# One failure in a thousand is what people call an outage's edge; below it, its cost (an error page
# is cheap, a timeout is dear) changes a mean by less than any margin that anybody asks about.
ERRORS = 0.001

# nginx and the generator count the same requests. Those under way at either end of the measured
# part may be counted by one of them only: as many as there are users, and this share besides.
UNCOUNTED = 0.001

# Little's law is exact over a run for users who do not pause: users = rate times response. What may
# be missing is the generator's own time between an answer and the next request.
LITTLE = 0.05
# A generator needs a fraction of a response for itself. Off by more than half as much again, and
# requests were lost, hung, or counted twice.
LITTLE_BROKEN = 1.5

# A slot that is held for S seconds serves 1/S requests a second. The rest is for the clocks at both
# ends of the run.
UTILIZATION = 1.02

# A rate is done/seconds. The duration is often known as "10 s" only; one in twenty is no rounding.
REPORTED = 0.05

# A dropped arrival has no response time, and it was dropped because it would have been a long one:
# the same limit as for an error.
DROPPED = 0.001
# Here the arm was spared so much of the load that it stood under another one than its neighbours.
DROPPED_OTHER_LOAD = 0.05

# A response is counted from the intended moment, so the generator's lateness is in it. In the
# median it may be a tenth of what is measured; in the last hundredth as much as a typical response.
LAG_P50 = 0.1
LAG_P99 = 1.0
# However short a response is: the generator's loop needs a moment for each turn, and on cores that
# it shares it may have to wait until somebody's time slice ends (about 3 ms on Linux).
LAG_P50_LEAST_MS = 0.25
LAG_P99_LEAST_MS = 3.0

# The generator is one thread. Busy for this share of the time that the host leaves it, an event
# waits for two others on average before its time is taken (M/D/1: 0.8 / (2 * 0.2)), and that grows
# without bound towards 1. On two cores that it shares with the servers this is no stricter than
# elsewhere: what the servers take from it is seen as send lag, and the servers' own wait is what a
# deployment on two cores has too. What the host steals is not CPU time of the generator, so a
# generator at 0.6 is a saturated one where 0.4 was stolen: the limit falls with it.
GENERATOR = 0.8

# Stolen from all cores together. A host that takes a tenth takes it in slices of milliseconds,
# which is the size of what is measured.
STOLEN = 0.10
# In a block, a trial that lost twice what its neighbours did is not comparable with them...
STOLEN_UNLIKE = 2.0
# ... where that is more than a throughput could be told from another by.
STOLEN_LEAST = 0.03

# Arms that are up side by side must leave each other alone. What an arm does in its neighbours'
# turns is not in their CPU time, but it keeps a core from them: a hundredth of two cores at most.
# A server that polls (granian looks at its queues all the time) stays below half of that.
IDLE = 0.02

Rule = Callable[[Evidence], Void | None]


def errors(evidence: Evidence) -> Void | None:
    """A reload's failures are its result: its evidence leaves `errors` None."""
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
        f"{evidence.wrong} answers had another body than the expected: not one may"
        f"{_kinds(evidence)}",
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
        "somebody else was served too, or requests were lost",
    )


def littles_law(evidence: Evidence) -> Void | None:
    """Little 1961: users = rate times mean response, where nobody pauses."""
    rate = _rate(evidence)
    if rate is None or evidence.users is None or evidence.mean_response_s is None:
        return None
    busy = rate * evidence.mean_response_s
    share = busy / evidence.users
    if abs(share - 1) <= LITTLE:
        return None
    broken = not 1 / LITTLE_BROKEN <= share <= LITTLE_BROKEN
    return Void(
        "Little's law",
        f"{rate:.4g} requests/s of {evidence.mean_response_s * 1000:.4g} ms keep {busy:.3g} users "
        f"waiting, and there were {evidence.users}: "
        + (
            "requests hung, or were counted wrongly"
            if broken
            else "the generator kept them from asking, or some hung"
        ),
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
        f"{evidence.holds_s * 1000:.4g} ms serve at most {most:.6g}: not all were answers",
    )


def reported_rate(evidence: Evidence) -> Void | None:
    if evidence.reported_rps is None or evidence.done is None or not evidence.seconds:
        return None
    rate = evidence.done / evidence.seconds
    if abs(evidence.reported_rps - rate) <= REPORTED * rate:
        return None
    return Void(
        "reported rate",
        f"{evidence.reported_rps:.6g} requests/s are reported, and {evidence.done} in "
        f"{evidence.seconds:.4g} s are {rate:.6g}: something else was counted",
    )


def dropped_arrivals(evidence: Evidence) -> Void | None:
    if not evidence.dropped or not evidence.intended:
        return None
    share = evidence.dropped / evidence.intended
    if share <= DROPPED:
        return None
    return Void(
        "dropped arrivals",
        f"{evidence.dropped} of {evidence.intended} arrivals could not be sent ({share:.1%}, "
        f"at most {DROPPED:.1%})",
        "everything" if share > DROPPED_OTHER_LOAD else "time",
    )


def send_lag(evidence: Evidence) -> Void | None:
    response = evidence.response_p50_ms
    if response is None:
        return None
    for name, lag, limit, least in (
        ("half", evidence.lag_p50_ms, LAG_P50, LAG_P50_LEAST_MS),
        ("the last hundredth", evidence.lag_p99_ms, LAG_P99, LAG_P99_LEAST_MS),
    ):
        most = max(least, limit * response)
        if lag is not None and lag > most:
            return Void(
                "send lag",
                f"{name} of the requests were sent {lag:.2f} ms late or later (at most "
                f"{most:.2f} ms, as the median response is {response:.2f} ms)",
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
        f"the generator used {evidence.generator_cpu:.0%} of a core (at most {limit:.0%}): "
        "its own speed was measured",
        "time",
    )


def stolen_cpu(evidence: Evidence) -> Void | None:
    if evidence.stolen is None or evidence.stolen <= STOLEN:
        return None
    return Void(
        "stolen CPU",
        f"the host took {evidence.stolen:.0%} of the machine's CPU time (at most {STOLEN:.0%})",
        "time",
    )


def idle_arms(evidence: Evidence) -> Void | None:
    if evidence.idle_share is None or evidence.idle_share <= IDLE:
        return None
    return Void(
        "idle arm",
        f"while others had their turn it used {evidence.idle_share:.1%} of a core (at most "
        f"{IDLE:.0%}): something is at work there without requests",
    )


def ended_processes(evidence: Evidence) -> Void | None:
    if not evidence.ended:
        return None
    return Void(
        "ended processes",
        f"{evidence.ended} processes ended under the load and took along what they had used: "
        "workers crashed, or the arm replaces them (STACK_MAX_REQUESTS, STACK_MAX_WORKER_LIFETIME)",
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
    """Every reason not to believe *trial*, those that spoil *primary* first."""
    voids = (rule(trial.evidence) for rule in RULES)
    found = [void for void in voids if void is not None]
    return sorted(found, key=lambda void: not spoils(void, primary))


def relative(block: Sequence[Trial]) -> list[list[Void]]:
    """Reasons that only a trial's neighbours tell: a list for each trial of *block*, in its order.

    *block*: the trials of one block that are to be compared, at best of one load.
    """
    known = [trial.evidence.stolen for trial in block if trial.evidence.stolen is not None]
    if len(known) < 3:  # of two, neither is the odd one
        return [[] for _ in block]
    usual = median(known)
    limit = max(STOLEN_LEAST, STOLEN_UNLIKE * usual)
    return [
        [
            Void(
                "stolen unlike its block",
                f"the host took {trial.evidence.stolen:.1%} of the CPU time, and {usual:.1%} from "
                "the median of its block",
                "time",
            )
        ]
        if trial.evidence.stolen is not None and trial.evidence.stolen > limit
        else []
        for trial in block
    ]


def spoils(void: Void, metric: Metric) -> bool:
    """Whether *metric* of a trial with this void may not be used: then it is queued again."""
    return void.spoils == "everything" or metric.kind == "time"


def _kinds(evidence: Evidence) -> str:
    return f": {'; '.join(evidence.faults)}" if evidence.faults else ""


def _rate(evidence: Evidence) -> float | None:
    """Requests done a second; what somebody reports where the requests are not known."""
    if evidence.done is not None and evidence.seconds:
        return evidence.done / evidence.seconds
    return evidence.reported_rps
