"""Judges a run: what differs, by how much, how certain that is, and whether to trust it at all.

of() computes verdict.json from the trials alone, so a verdict can be renewed without a new run.

The verdicts. *faster* and *slower* mean better and worse in the direction of the metric; they
need an interval that excludes 1, a sign-flip p of at most 0.05 and a Holm-adjusted p of at most
0.05. *equivalent*: the whole interval is inside the margin. If both hold, the verdict is
*equivalent*, because the experiment declared such a difference too small to matter; `why` then says
"equivalent, though different". *inconclusive* states how many blocks would settle it. *overloaded*:
in most blocks a server did not keep up with the load (lab.judge.overload). *void*: fewer than six
good blocks.

Holm's families: the primary metric over all ordinary arms under the primary load; and for each
metric, all other comparisons in it. Holm is applied to Student's p. The exact sign-flip p cannot be
below 2 / 2^n, so with six blocks and two arms its adjusted value could never reach 0.05. Instead
the sign-flip test must agree in each comparison, and `p_holm` is never below its p.

The intervals of rows are plain 95 % intervals, each right for one comparison that was chosen before
the run. So is the headline's if the file declares its `answer`; if not, the headline shows the
largest effect with an interval that is simultaneous over all primary comparisons.

Each metric under each load has controls of its own. The twin must be equivalent. The canaries must
be found to be worse, even if their cost is smaller than the margin; where the cost is known in the
metric's unit, the interval of the difference must contain it. A comparison without all of that is
not controlled, and a run whose primary comparisons are not controlled is untrustworthy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from lab.judge import answer, budgets, claims, estimate, numbers, power
from lab.judge import looks as sequential
from lab.judge.comparison import Comparison, compare
from lab.judge.estimate import MIN_BLOCKS
from lab.measure.facts import Fact, FactError
from lab.plan import canary
from lab.plan.experiment import Experiment
from lab.trial import METRICS, Trial

# An arm that lost more trials than this is not judged: the remaining ones are not a fair sample.
VOID_SHARE = 0.5

# How exactly a canary's own cost is known: the burning ends at the next look at the clock, a helper
# process may serve two wake-ups at once.
CALIBRATED = 0.1

# An arm that was overloaded in a larger share of its blocks did not do the same work as the others.
OVERLOADED = 0.5

SETTLED = ("faster", "slower", "equivalent")


def of(
    experiment: Experiment,
    trials: Sequence[Trial],
    conditions: Mapping[str, Any],
    *,
    auto: bool = False,
) -> dict[str, Any]:
    """The content of verdict.json, from all attempts of all trials.

    auto: the run could stop after each block, so its intervals are wider (lab.judge.looks).
    """
    looks = sequential.looks() if auto else 1.0
    comparisons = judged(experiment, trials, looks)
    _control(experiment, comparisons)
    main = [one for one in comparisons if one.primary and one.role == "arm"]
    trustworthy, why = _trust(experiment, comparisons, trials)
    asked = answer.asked(experiment.answer, main)
    found = {one.arm: one.verdict for one in main}
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "headline": answer.headline(main, asked, experiment.margin)
        if trustworthy
        else "No answer: the controls of this run failed.",
        "certainty": answer.certainty(main, asked, looks),
        "answer": answer.sentence(main, asked, experiment.margin, looks)
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
        "band": list(estimate.band(experiment.margin)),
        "expectations": {
            arm: {
                "declared": declared,
                "found": found.get(arm, "void"),
                "met": found.get(arm, "void") == declared,
            }
            for arm, declared in experiment.expect.items()
        },
        "comparisons": [one.to_json() for one in comparisons],
        "conditions": dict(conditions),
    }


def add_lists(
    found: dict[str, Any], experiment: Experiment, facts: Mapping[str, Fact | FactError]
) -> None:
    """Add the file's claims and budgets to *found*; the headline counts them if no answer is
    declared. *facts*: those of claims.judge.
    """
    if experiment.claims:
        found["claims"] = claims.judge(experiment, found, facts)
    found["budgets"] = budgets.rows(experiment, found)
    if experiment.answer is None:
        found |= answer.of_lists(found)


def knows(experiment: Experiment, trials: Sequence[Trial]) -> bool:
    """Whether a run of BLOCKS=auto may stop after these trials."""
    return sequential.knows(judged(experiment, trials, sequential.looks()))


def judged(experiment: Experiment, trials: Sequence[Trial], looks: float) -> list[Comparison]:
    """The comparisons with their verdicts. *looks*: see lab.judge.looks; 1 for a fixed number of
    blocks."""
    comparisons = compare(experiment, trials)
    _judge(comparisons, experiment.margin, looks)
    return comparisons


def exit_code(content: Mapping[str, Any], *, quick: bool = False) -> int:
    """0: as declared, or settled if nothing is declared. 1: a declared expectation failed.
    3: untrustworthy, or inconclusive. A *quick* run decides large effects only, so that it is
    inconclusive is no failure."""
    if not content["trustworthy"]:
        return 3
    open_question = 0 if quick else 3
    expectations = content["expectations"].values()
    if any(not one["met"] and one["found"] in SETTLED for one in expectations):
        return 1
    if expectations:
        return 0 if all(one["met"] for one in expectations) else open_question
    main = (row for row in content["comparisons"] if row["primary"] and row["role"] == "arm")
    return 0 if any(row["verdict"] in SETTLED for row in main) else open_question


def _judge(comparisons: Sequence[Comparison], margin: float, looks: float) -> None:
    """Estimate each comparison, adjust p over its family, and set its verdict."""
    families: dict[object, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        if one.n < 2:
            continue
        found = estimate.over_blocks(one.log_ratios, looks)
        one.ratio, one.low, one.high = found.ratio, found.low, found.high
        one.p = min(1.0, looks * estimate.sign_flip_p(one.log_ratios))
        if one.n >= MIN_BLOCKS:
            control = None if one.role == "arm" else (one.load, one.arm)
            families[one.metric, one.primary, control].append(one)
    for family in families.values():
        ps = [min(1.0, looks * estimate.student_p(one.log_ratios)) for one in family]
        adjusted = estimate.holm(ps)
        for one, p_holm in zip(family, adjusted, strict=True):
            _decide(one, p_holm, margin, len(family))


def _decide(one: Comparison, p_holm: float, margin: float, family: int) -> None:
    found, p = one.estimate, one.p
    if found is None or p is None:
        raise ValueError(f"{one.arm}: judged before it was estimated")
    one.p_holm = max(p_holm, p)
    one.detectable = power.detectable(one.log_ratios, family)
    differs = estimate.differs(found, p, one.p_holm)
    if estimate.equivalent(found, margin) and one.role != "canary":
        one.verdict = "equivalent"
        if differs:
            one.why = f"equivalent, though different: the interval is within ±{margin:.0%}"
    elif differs:
        less_is_better = METRICS[one.metric].better == "lower"
        one.verdict = "faster" if (found.ratio < 1) == less_is_better else "slower"
    else:
        one.verdict = "inconclusive"
        one.blocks_needed = power.blocks_needed(one.log_ratios, margin, family)
        one.why = (
            f"{one.blocks_needed} blocks would settle it four times in five; {one.n} blocks find "
            f"an effect of {one.detectable:.1%} four times in five"
        )
    for side, name in (("arm", one.arm), ("baseline", one.baseline)):
        if blocks := one.overloaded[side]:
            text = f'"{name}" was overloaded in {len(blocks)} of {one.n} blocks: {blocks[0]}'
            one.why = f"{one.why}; {text}" if one.why else text
            if len(blocks) > OVERLOADED * one.n:
                one.verdict, one.blocks_needed = "overloaded", None


def _control(experiment: Experiment, comparisons: Sequence[Comparison]) -> None:
    """Judge the controls of every metric under every load, and mark all comparisons of it."""
    groups: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for one in comparisons:
        groups[one.load, one.metric].append(one)
    for (_, metric), group in groups.items():
        faults, fine = [], []
        twins = [one for one in group if one.role == "twin"]
        canaries = [
            one
            for one in group
            if one.role == "canary"
            and (not (dose := experiment.arm(one.arm).dose) or metric in canary.metrics(dose))
        ]
        what = METRICS[metric].label
        for name, rows in (("twin", twins), ("canary that changes it", canaries)):
            if not rows:
                faults.append(f"there is no {name}")
        for one in twins:
            if one.verdict == "equivalent":
                fine.append(f"the twin is equivalent ({one})")
            elif one.verdict == "void":
                faults.append(f"the twin cannot be judged ({one.why})")
            else:
                faults.append(
                    f"the twin repeats the baseline but is not equivalent in {what} ({one})"
                )
        for one in canaries:
            # The smaller dose is what matters to the reader, in the primary metric.
            fault = _fault_of(one, must_be_found=one.primary or one is canaries[-1])
            if fault:
                faults.append(fault)
            else:
                size = f" as {_amount(one)} of {one.dose:g}{_unit(one)}" if one.dose else ""
                fine.append(f'the canary "{one.arm}" was found{size} ({one})')
        for one in group:
            one.controlled = not faults
            one.controls = "; ".join(faults) if faults else " and ".join(fine)


def _fault_of(one: Comparison, *, must_be_found: bool) -> str:
    """Why the canary of *one* did not come out as it must, or ""."""
    name = f'the canary "{one.arm}"'
    if one.verdict == "void":
        return f"{name} cannot be judged ({one.why})"
    if must_be_found and one.verdict != "slower":
        return f"{name} has a known cost that was not found in {METRICS[one.metric].label} ({one})"
    if one.dose is not None:
        _, low, high = estimate.mean_within(one.added)
        if high < one.dose * (1 - CALIBRATED) or low > one.dose * (1 + CALIBRATED):
            return f"{name} adds {one.dose:g}{_unit(one)}, and this run found {_amount(one)}"
    return ""


def _amount(one: Comparison) -> str:
    """What a canary with a known dose added: +41.2 [+38.0, +44.4]."""
    mean, low, high = map(numbers.signed, estimate.mean_within(one.added))
    return f"{mean} [{low}, {high}]"


def _unit(one: Comparison) -> str:
    return f" {one.unit}".rstrip()


def _trust(
    experiment: Experiment, comparisons: Sequence[Comparison], trials: Sequence[Trial]
) -> tuple[bool, str]:
    """Whether the controls came out as they must in the primary metric, and the reasons."""
    primary = next((one for one in comparisons if one.primary), None)
    if primary is None:
        return False, "there are no trials under the primary load"
    faults = [] if primary.controlled else [primary.controls]
    for arm in experiment.arms:
        tries = [t for t in trials if (t.arm, t.load) == (arm.name, experiment.primary_load)]
        void = sum(not trial.good_for(experiment.primary_metric) for trial in tries)
        if void > VOID_SHARE * len(tries):
            faults.append(f'{void} of {len(tries)} trials of "{arm.name}" were void')
    return not faults, "; ".join(faults) if faults else primary.controls
