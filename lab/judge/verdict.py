"""From trials to verdict.json: what differs, by how much, how sure that is, and whether to believe
it at all.

of() is arithmetic over trials that are there already: verdicts can be made anew without a new run.

The five words. *faster* and *slower* are better and worse in the metric's own direction (less
memory is "faster"); they need an interval that excludes 1, a sign-flip p of at most 0.05, and a
Holm-adjusted p of at most 0.05. *equivalent*: the whole interval lies inside the margin. Where both
hold, equivalence wins, because nobody would act on a difference that was declared too small to
matter beforehand; the comparison's `why` then says "equivalent, though different". *inconclusive*
comes with the number of blocks that would settle it. *void*: less than six good blocks.

Holm's families: the primary metric over all ordinary arms under the primary load; besides, for each
metric, all other comparisons in it. Holm is applied to Student's p. Applied to the exact sign-flip
p, which cannot be below 2 / 2^n, six blocks and two arms could not tell a ratio of 15 from 1; that
test has to agree in each comparison instead, and `p_holm` is never below it.

The controls are judged for themselves, in the primary metric: the twin must come out equivalent,
and the canary must be found to be worse, however small its cost is against the margin.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from lab.judge import answer, estimate, scalability
from lab.judge.estimate import MIN_BLOCKS, Ratio, Word
from lab.plan.experiment import FIGURES, ArmSpec, Experiment, Load
from lab.trial import METRICS, Metric, Trial

# More void trials than good ones, and what is left was chosen by the machine's moods.
VOID_SHARE = 0.5

# Events that are counted and divided by the requests. An arm that had none did not have "0 times
# as many": half an event is added to both, as is usual for ratios of counts (Haldane 1956).
EVENTS = frozenset({"wakeups", "preemptions", "eagain", "redis_commands"})

# From here on, closed loads on one path count as a ladder of users, and it is said why no law was
# fitted when there are still too few.
LADDER = 3

SETTLED = ("faster", "slower", "equivalent")


@dataclass
class Comparison:
    """One arm against its baseline in one metric under one load. Lists have an entry a block."""

    arm: ArmSpec
    load: Load
    metric: Metric
    primary: bool
    logs: list[float] = field(default_factory=list)
    arm_values: list[float] = field(default_factory=list)
    baseline_values: list[float] = field(default_factory=list)
    voids: Counter[str] = field(default_factory=Counter)  # rule → trials that it took from this
    why: str = ""
    word: Word = "void"
    found: Ratio | None = None
    p: float | None = None
    p_holm: float | None = None
    blocks_needed: int | None = None
    detectable: float | None = None

    def __str__(self) -> str:
        if self.found is None:
            return "no ratio"
        ratio, low, high = (
            answer.ratio(value) for value in (self.found.ratio, self.found.low, self.found.high)
        )
        return f"ratio {ratio} [{low}, {high}], {self.found.n} blocks"

    def to_json(self) -> dict[str, Any]:
        """A line of verdict.json's comparisons; what is not known is None."""
        found = self.found
        return {
            "arm": self.arm.name,
            "baseline": self.arm.against,
            "role": self.arm.role,
            "load": self.load.name,
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "primary": self.primary,
            "ratio": found.ratio if found else None,
            "low": found.low if found else None,
            "high": found.high if found else None,
            "n": len(self.logs),
            "p": self.p,
            "p_holm": self.p_holm,
            "verdict": self.word,
            "why": self.why,
            "blocks_needed": self.blocks_needed,
            "detectable": self.detectable,
            "medians": {
                "arm": median(self.arm_values) if self.arm_values else None,
                "baseline": median(self.baseline_values) if self.baseline_values else None,
            },
            "values": {"arm": self.arm_values, "baseline": self.baseline_values},
        }


def of(
    experiment: Experiment, trials: Sequence[Trial], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of verdict.json, from all attempts of all trials."""
    comparisons = compare(experiment, trials)
    main = [one for one in comparisons if one.primary and one.arm.role == "arm"]
    trustworthy, why = _trust(experiment, comparisons, trials)
    found = {one.arm.name: one.word for one in main}
    low, high = estimate.band(experiment.margin)
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "answer": answer.sentence(main, experiment.margin)
        if trustworthy
        else f"untrustworthy, because {why}",
        "trustworthy": trustworthy,
        "why": why,
        "blocks": len({trial.block for trial in trials}),
        "voided": sum(not trial.good_for(experiment.primary_metric) for trial in trials),
        "void_by_rule": dict(
            Counter(void.rule for trial in trials for void in trial.voids).most_common()
        ),
        "primary": {"metric": experiment.primary_metric, "load": experiment.primary_load},
        "margin": experiment.margin,
        "band": [low, high],
        "expectations": {
            arm: {
                "declared": declared,
                "found": found.get(arm, "void"),
                "met": found.get(arm, "void") == declared,
            }
            for arm, declared in experiment.expect.items()
        },
        "comparisons": [one.to_json() for one in comparisons],
        "scalability": _scalability(experiment, trials),
        "conditions": dict(conditions),
    }


def exit_code(content: Mapping[str, Any]) -> int:
    """0: as declared (or, where nothing is declared, something was settled). 1: a declared
    expectation failed. 3: untrustworthy, or what was declared is still open."""
    if not content["trustworthy"]:
        return 3
    expectations = content["expectations"].values()
    if any(not one["met"] and one["found"] in SETTLED for one in expectations):
        return 1
    if expectations:
        return 0 if all(one["met"] for one in expectations) else 3
    words = [
        one["verdict"] for one in content["comparisons"] if one["primary"] and one["role"] == "arm"
    ]
    return 0 if any(word in SETTLED for word in words) else 3


def compare(experiment: Experiment, trials: Iterable[Trial]) -> list[Comparison]:
    """Every metric under every load that an arm and its baseline have both: primary ones first."""
    index: dict[tuple[str, str], dict[int, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in sorted(trials, key=lambda trial: trial.attempt):
        index[trial.arm, trial.load][trial.block].append(trial)

    comparisons = []
    for load in experiment.loads:
        for arm in experiment.arms_under(load):
            if not arm.against:
                continue
            ours, theirs = index[arm.name, load.name], index[arm.against, load.name]
            for metric in METRICS.values():
                primary = (metric.name, load.name) == (
                    experiment.primary_metric,
                    experiment.primary_load,
                )
                known = (
                    metric.name in FIGURES[load.kind]
                    and _knows(ours, metric)
                    and _knows(theirs, metric)
                )
                if metric.kind != "tally" and (known or primary):
                    one = Comparison(arm, load, metric, primary)
                    _fill(one, ours, theirs)
                    comparisons.append(one)
    _judge(comparisons, experiment.margin)
    return sorted(comparisons, key=lambda one: not one.primary)


def _knows(blocks: Mapping[int, Sequence[Trial]], metric: Metric) -> bool:
    return any(
        metric.name in trial.figures or trial.rounds.get(metric.name)
        for tries in blocks.values()
        for trial in tries
    )


def _fill(
    one: Comparison,
    ours: Mapping[int, Sequence[Trial]],
    theirs: Mapping[int, Sequence[Trial]],
) -> None:
    """Gather the blocks in which both arms have a good trial."""
    for trial in (
        trial for blocks in (ours, theirs) for tries in blocks.values() for trial in tries
    ):
        if not trial.good_for(one.metric.name):
            one.voids.update(void.rule for void in trial.voids)
    for block in sorted(ours.keys() & theirs.keys()):
        pair = _pair(ours[block], theirs[block], one)
        if pair is None:
            continue
        arm, baseline = (_figure(trial, one.metric) for trial in pair)
        one.arm_values.append(arm)
        one.baseline_values.append(baseline)
        log = _log_ratio(*pair, one.metric)
        if log is not None:
            one.logs.append(log)
        elif not one.why:
            pair_of = f"{answer.number(arm)} against {answer.number(baseline)}"
            one.why = f"{pair_of} (block {block}) has no ratio"
    if one.why:  # leaving out such blocks alone would choose among the others by their outcome
        one.logs.clear()


def _pair(
    ours: Sequence[Trial], theirs: Sequence[Trial], one: Comparison
) -> tuple[Trial, Trial] | None:
    """The last good attempts of a block; in a rotation those of the same attempt, because its
    rounds are compared with each other."""

    def good(tries: Sequence[Trial]) -> dict[int, Trial]:
        return {
            trial.attempt: trial
            for trial in tries
            if trial.good_for(one.metric.name)
            and (one.metric.name in trial.figures or trial.rounds.get(one.metric.name))
        }

    left, right = good(ours), good(theirs)
    if one.load.kind == "rotation":
        common = left.keys() & right.keys()
        return (left[max(common)], right[max(common)]) if common else None
    return (left[max(left)], right[max(right)]) if left and right else None


def _figure(trial: Trial, metric: Metric) -> float:
    if metric.name in trial.figures:
        return trial.figures[metric.name]
    return fmean(trial.rounds[metric.name])


def _log_ratio(arm: Trial, baseline: Trial, metric: Metric) -> float | None:
    """Round against round where there are rounds, else of the two figures. None: one is zero."""
    a, b = arm.rounds.get(metric.name, []), baseline.rounds.get(metric.name, [])
    if a and len(a) == len(b) and min(*a, *b) > 0:
        return estimate.of_block(a, b)
    x, y = _figure(arm, metric), _figure(baseline, metric)
    if min(x, y) <= 0 and metric.name in EVENTS and arm.requests and baseline.requests:
        x, y = x + 0.5 / arm.requests, y + 0.5 / baseline.requests
    if x == y:
        return 0.0
    return math.log(x / y) if min(x, y) > 0 else None


def _judge(comparisons: Sequence[Comparison], margin: float) -> None:
    """Estimate each comparison, adjust over its family, and find its word."""
    families: dict[object, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        if len(one.logs) < 2:
            one.why = one.why or _too_few(one)
            continue
        one.found = estimate.over_blocks(one.logs)
        one.p = estimate.sign_flip_p(one.logs)
        one.detectable = estimate.detectable(one.logs)
        if len(one.logs) < MIN_BLOCKS:
            one.why = _too_few(one)
        elif one.arm.role == "arm":
            families[one.metric.name, one.primary].append(one)
        else:
            families[one.metric.name, one.load.name, one.arm.name] = [one]
    for family in families.values():
        adjusted = estimate.holm([estimate.student_p(one.logs) for one in family])
        for one, p_holm in zip(family, adjusted, strict=True):
            _word(one, max(p_holm, one.p or 0.0), margin, len(family))


def _too_few(one: Comparison) -> str:
    text = f"{len(one.logs)} of the {MIN_BLOCKS} good blocks that are needed"
    rules = ", ".join(f"{rule} ({count})" for rule, count in one.voids.most_common(2))
    return f"{text}; void were: {rules}" if rules else text


def _word(one: Comparison, p_holm: float, margin: float, family: int) -> None:
    if one.found is None or one.p is None:
        raise ValueError(f"{one.arm.name}: judged before it was estimated")
    one.p_holm = p_holm
    differs = estimate.differs(one.found, one.p, p_holm)
    lower = one.found.ratio < 1
    direction: Word = "faster" if lower == (one.metric.better == "lower") else "slower"
    detection = one.primary and one.arm.role == "canary"
    if estimate.equivalent(one.found, margin) and not detection:
        one.word = "equivalent"
        if differs:
            one.why = f"equivalent, though different: all of it is within ±{margin:.0%}"
    elif differs:
        one.word = direction
    else:
        one.word = "inconclusive"
        one.blocks_needed = estimate.blocks_needed(one.logs, margin, family)
        one.why = (
            f"about {one.blocks_needed} blocks would settle it; with {one.found.n}, an effect of "
            f"{one.detectable:.1%} would have been found four times in five"
        )


def _trust(
    experiment: Experiment, comparisons: Sequence[Comparison], trials: Sequence[Trial]
) -> tuple[bool, str]:
    """Whether the controls came out as they must, and why (not)."""
    faults, fine = [], []
    controls: dict[str, Comparison] = {one.arm.role: one for one in comparisons if one.primary}
    where = f"in {answer.phrase(METRICS[experiment.primary_metric])}"
    for role, word, well, badly in (
        (
            "twin",
            "equivalent",
            "came out equivalent",
            f"is the baseline once more but did not come out equivalent {where}",
        ),
        ("canary", "slower", "was found", f"has a cost that is known but was not found {where}"),
    ):
        one = controls.get(role)
        if one is None:
            faults.append(f"there is no {role}")
        elif one.word == "void":
            faults.append(f"the {role} cannot be judged ({one.why})")
        elif one.word == word:
            fine.append(f"the {role} {well} ({one})")
        else:
            faults.append(f"the {role} {badly} ({one})")
    for arm in experiment.arms:
        tries = [t for t in trials if (t.arm, t.load) == (arm.name, experiment.primary_load)]
        void = sum(not trial.good_for(experiment.primary_metric) for trial in tries)
        if void > VOID_SHARE * len(tries):
            faults.append(f'{void} of {len(tries)} trials of "{arm.name}" were void')
    return not faults, "; ".join(faults) if faults else " and ".join(fine)


def _scalability(experiment: Experiment, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The law of each arm that stood under a ladder of closed loads, or why there is none."""
    ladders: dict[str, dict[int, str]] = defaultdict(dict)
    for load in experiment.loads:
        if load.kind == "closed":
            ladders[load.path][load.users] = load.name
    found = []
    for path, ladder in ladders.items():
        if len(ladder) < LADDER:
            continue
        for arm in experiment.arms:
            if arm.role != "arm":
                continue
            row: dict[str, Any] = {"arm": arm.name, "path": path, "users": sorted(ladder)}
            try:
                row |= scalability.fit(_rates(trials, arm.name, ladder)).to_json()
            except ValueError as error:
                row["why"] = str(error)
            found.append(row)
    return found


def _rates(trials: Iterable[Trial], arm: str, ladder: Mapping[int, str]) -> dict[int, list[float]]:
    """users → requests/s a block, from the blocks that are complete."""
    rates: dict[int, dict[int, float]] = {users: {} for users in ladder}
    by_load = {load: users for users, load in ladder.items()}
    for trial in sorted(trials, key=lambda trial: trial.attempt):
        if trial.arm == arm and trial.load in by_load and trial.good_for("rps"):
            rate = trial.figures.get("rps")
            if rate is not None:
                rates[by_load[trial.load]][trial.block] = rate
    complete = sorted(set.intersection(*(set(values) for values in rates.values())))
    return {users: [values[block] for block in complete] for users, values in rates.items()}
