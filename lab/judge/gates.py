"""Rules that void a trial whose figures must not be used.

A rule receives the evidence alone, and reads only what tells about the machine and the bookkeeping.
What the server did under the load (failed requests, dropped arrivals, a late schedule, a rate) is
its result: a rule that saw it would select trials by their outcome. lab.judge.overload names it.

Requests that were not counted, or that ran without the option in question, spoil *everything*. CPU
time that the host stole spoils *cpu*: CPU time and times. A generator that was too busy spoils
*times* only, because a late request wakes as many threads as a punctual one.

CPU pressure (Evidence.pressure) voids nothing. Most of it comes from the arm's own threads waiting
for each other, so a limit would judge arms. The report does show it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from lab.trial import Evidence, Metric, Trial, Void

# nginx and the generator count the same requests, except those in flight at either end of the
# measured interval: at most one per user, and this share.
UNCOUNTED = 0.001

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


def wrong_bodies(evidence: Evidence) -> Void | None:
    if not evidence.wrong:
        return None
    return Void(
        "wrong bodies",
        f"{evidence.wrong} answers had an unexpected body (at most 0)",
    )


def served_is_done(evidence: Evidence) -> Void | None:
    """A request without an answer may have been served or not."""
    if evidence.served is None or evidence.done is None:
        return None
    sent = max(evidence.sent or 0, evidence.done)
    allowed = (evidence.users or 1) + UNCOUNTED * evidence.done
    if evidence.done - allowed <= evidence.served <= sent + allowed:
        return None
    return Void(
        "served is not done",
        f"nginx counted {evidence.served} requests, the generator {evidence.done} answers of "
        f"{sent}: requests were lost, or another client was served",
    )


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
        "cpu",
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
    wrong_bodies,
    served_is_done,
    idle_arms,
    generator_cpu,
    stolen_cpu,
)


def judge(trial: Trial, *, primary: Metric) -> list[Void]:
    """Every void of *trial*, those that spoil *primary* first."""
    found = [void for rule in RULES if (void := rule(trial.evidence)) is not None]
    return sorted(found, key=lambda void: not void.ruins(primary))


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
        found.append([Void("stolen unlike its block", reason, "cpu")] if outlier else [])
    return found
