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

from loadtest.lab import estimate, scalability
from loadtest.lab.estimate import MIN_BLOCKS, Ratio, Word
from loadtest.lab.experiment import ArmSpec, Experiment, Load
from loadtest.lab.trial import METRICS, Metric, Trial

# More void trials than good ones, and what is left was chosen by the machine's moods.
VOID_SHARE = 0.5

# Events that are counted and divided by the requests. An arm that had none did not have "0 times
# as many": half an event is added to both, as is usual for ratios of counts (Haldane 1956).
EVENTS = frozenset({"wakeups", "preemptions", "eagain", "redis_commands"})

# From here on, closed loads on one path count as a ladder of users, and it is said why no law was
# fitted when there are still too few.
LADDER = 3

SETTLED = ("faster", "slower", "equivalent")
_SAID = {"faster": "better", "slower": "worse"}


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
        ratio = self.found
        return (
            f"ratio {_ratio(ratio.ratio)} [{_ratio(ratio.low)}, {_ratio(ratio.high)}], "
            f"{ratio.n} blocks"
        )

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
        "answer": _answer(main, experiment.margin)
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
                known = _knows(ours, metric) and _knows(theirs, metric)
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
            one.why = f"{_number(arm)} against {_number(baseline)} (block {block}) has no ratio"
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
    return f"{len(one.logs)} of the {MIN_BLOCKS} good blocks that are needed"


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
    controls = {one.arm.role: one for one in comparisons if one.primary}
    twin, canary = controls.get("twin"), controls.get("canary")
    phrase = _phrase(METRICS[experiment.primary_metric])
    if twin is None:
        faults.append("there is no twin of the baseline")
    elif twin.word == "void":
        faults.append(f"the twin cannot be judged ({twin.why})")
    elif twin.word != "equivalent":
        faults.append(
            f"the twin, which is the baseline once more, did not come out equivalent in {phrase} "
            f"({twin})"
        )
    else:
        fine.append(f"the twin came out equivalent ({twin})")
    if canary is None:
        faults.append("there is no canary")
    elif canary.word == "void":
        faults.append(f"the canary cannot be judged ({canary.why})")
    elif canary.word != "slower":
        faults.append(
            f"the canary, whose extra cost is known to be there, was not found in {phrase} "
            f"({canary})"
        )
    else:
        fine.append(f"the canary was found ({canary})")
    for arm in experiment.arms:
        tries = [t for t in trials if (t.arm, t.load) == (arm.name, experiment.primary_load)]
        void = sum(not trial.good_for(experiment.primary_metric) for trial in tries)
        if void > VOID_SHARE * len(tries):
            faults.append(f'{void} of {len(tries)} trials of "{arm.name}" were void')
    return not faults, "; ".join(faults) if faults else " and ".join(fine)


def _answer(main: Sequence[Comparison], margin: float) -> str:
    """One sentence: the largest effect of the primary metric, and how the others came out."""
    if not main:
        return "Nothing but the controls was compared."
    lead = min(main, key=_rank)
    pair = f'"{lead.arm.name}"', f'"{lead.arm.against}"'
    phrase, where = _phrase(lead.metric), f'under "{lead.load.name}"'
    if lead.word == "void":
        text = f"No answer about {pair[0]} and {pair[1]} in {phrase} {where}: {lead.why}"
    else:
        ours, theirs = (
            _with_unit(median(values), lead.metric.unit)
            for values in (lead.arm_values, lead.baseline_values)
        )
        if lead.word == "equivalent":
            text = (
                f"{pair[0]} and {pair[1]} are equivalent (within ±{margin:.0%}) in {phrase} "
                f"{where}, {ours} and {theirs}: {lead}"
            )
        elif lead.word == "inconclusive":
            text = (
                f"It is not settled whether {pair[0]} differs from {pair[1]} in {phrase} {where}, "
                f"{ours} and {theirs}: {lead}; about {lead.blocks_needed} would settle it"
            )
        else:
            way = "down" if lead.found and lead.found.ratio < 1 else "up"
            text = (
                f"{pair[0]} brings {phrase} from {theirs} under {pair[1]} {way} to {ours} "
                f'(load "{lead.load.name}"): {lead}'
            )
    others = Counter(_SAID.get(one.word, one.word) for one in main if one is not lead)
    if others:
        number = sum(others.values())
        counts = _and([f"{count} {word}" for word, count in others.most_common()])
        text += (
            f"; of the other {number} comparisons, {counts}"
            if number > 1
            else (f"; the other comparison is {next(iter(others))}")
        )
    return f"{text}."


def _rank(one: Comparison) -> tuple[int, float]:
    """Differences before equivalence, before what is open; the largest effect first."""
    place = {"faster": 0, "slower": 0, "equivalent": 1, "inconclusive": 2, "void": 3}[one.word]
    return place, -abs(math.log(one.found.ratio)) if one.found else 0.0


def _phrase(metric: Metric) -> str:
    """The metric's meaning, to stand in a sentence."""
    text = metric.meaning
    for mark in (":", ";", ","):
        head, found, rest = text.partition(mark)
        if found:
            text = f"{head} ({rest.strip()})"
            break
    return f"the time {text}" if text.startswith("from ") else text


def _with_unit(value: float, unit: str) -> str:
    if unit.startswith("1/"):
        return f"{_number(value)}{unit[1:]}"
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    """As many digits as matter, never an exponent: 612, 41.0, 1.20, 0.082."""
    size = abs(value)
    if size == 0 or size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.{2 if size >= 1 else 1 - math.floor(math.log10(size))}f}"


def _ratio(value: float) -> str:
    """Thousandths around 1, where they matter."""
    return f"{value:.3f}" if 0.1 <= value < 10 else _number(value)


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


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
