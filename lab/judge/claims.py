"""Judges published claims by the figures of a run: confirmed, refuted, or cannot tell here.

lab.plan.experiment.Claim is what an experiment's file states. A claim says no more than its
comparison: it is confirmed or refuted only where the comparison itself, corrected for its family,
found a difference or an equivalence. Then the claimed ratio is compared with the measured one, its
95 % interval, and the margin within which the experiment calls arms equal:

    claimed             confirmed                        refuted
    1 (no difference)   equivalent                       different, interval outside the margin
    "<1" or ">1"        different, on that side of 1     different, on the other side; or equivalent
                                                         without a difference
    "<=1" or ">=1"      equivalent; or different, on     different, interval outside the margin on
                        that side of 1                   the other side
    a ratio             different, on its side of 1, and different, on the other side; or equivalent
                        the ratio inside the interval    while the ratio is neither near 1 nor in
                        widened by the margin            the widened interval

A difference on the claimed side whose interval does not include the claimed ratio is "confirmed in
direction, not in size". "other conditions": the figure decides, but the claim was made about other
software or settings, which this experiment does not repeat; `conditions` of the file says how they
differ. Everything else is "cannot tell here", and so is a claim whose comparison is missing, void,
overloaded, of fewer than six blocks, or part of an untrustworthy run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lab.judge.comparison import Comparison, Verdict, find
from lab.judge.estimate import MIN_BLOCKS, Ratio, band
from lab.judge.numbers import with_unit
from lab.measure.facts import Fact, FactError
from lab.plan.experiment import Claim, Claimed, Experiment, FactName
from lab.trial import METRICS

Outcome = Literal[
    "confirmed",
    "confirmed in direction, not in size",
    "refuted",
    "other conditions",
    "cannot tell here",
]
CONFIRMED: Outcome = "confirmed"
DIRECTION: Outcome = "confirmed in direction, not in size"
REFUTED: Outcome = "refuted"
OTHER: Outcome = "other conditions"
CANNOT_TELL: Outcome = "cannot tell here"
_INVERSE: dict[str, Claimed] = {"<1": ">1", ">1": "<1", "<=1": ">=1", ">=1": "<=1"}


class Judgement(NamedTuple):
    outcome: Outcome
    why: str


def facts_needed(claims: Mapping[str, Claim]) -> list[FactName]:
    """The probes that the claims name, without repetition."""
    return list(dict.fromkeys(claim.fact for claim in claims.values() if claim.fact))


def judge(
    experiment: Experiment, verdict: Mapping[str, Any], facts: Mapping[str, Fact | FactError]
) -> list[dict[str, Any]]:
    """Return a row for each claim of the experiment, in the order of the file.

    verdict: the content of verdict.json. facts: the probes by name; without
    one its claim is "cannot tell here".

    A row holds claim, says, source, measured (the compared arms, or the observed fact), metric,
    claimed, ratio, low, high, n (None for a fact), outcome and why.
    """
    rows = []
    for name, claim in experiment.claims.items():
        row = {"claim": name, "says": claim.says, "source": claim.source}
        if claim.fact:
            row |= _judge_fact(facts.get(claim.fact))
        else:
            row |= _judge_figure(claim, verdict, experiment.margin)
        if claim.conditions and row["outcome"] != CANNOT_TELL:
            row |= {"outcome": OTHER, "why": f"here {row['outcome']}: {row['why']}"}
        if remark := claim.conditions or claim.note:
            row["why"] = f"{row['why']}. {remark}"
        rows.append(row)
    return rows


def _judge_fact(fact: Fact | FactError | None) -> dict[str, Any]:
    row = dict.fromkeys(("metric", "claimed", "ratio", "low", "high", "n"))
    if isinstance(fact, Fact):
        why = f"tried on a real uWSGI: {fact.says}: {'yes' if fact.holds else 'no'}"
        outcome = CONFIRMED if fact.holds else REFUTED
        return {**row, "measured": fact.observed, "outcome": outcome, "why": why}
    why = "it was not tried in this run"
    if fact is not None:
        why = str(fact).splitlines()[0].removesuffix("; its log ends:")
    return {**row, "measured": "", "outcome": CANNOT_TELL, "why": why}


def _judge_figure(claim: Claim, verdict: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """Judge by the claim's metric, or by its stand-in if the metric cannot tell."""
    metric, claimed = claim.metric, claim.ratio
    found, judgement = _judge_metric(claim, metric, claimed, verdict, margin)
    stand_in = claim.stand_in
    if judgement.outcome == CANNOT_TELL and stand_in is not None:
        inverted = METRICS[metric].better != METRICS[stand_in].better
        expected = inverse_claim(claimed) if inverted else claimed
        other, second = _judge_metric(claim, stand_in, expected, verdict, margin)
        if second.outcome == CANNOT_TELL:
            why = f"{metric}: {judgement.why}; {stand_in}: {second.why}"
            judgement = Judgement(CANNOT_TELL, why)
        else:
            why = f"{metric} cannot tell ({judgement.why}); {stand_in} instead: {second.why}"
            judgement = Judgement(second.outcome, why)
            metric, claimed, found = stand_in, expected, other
    return {
        "measured": _measured(claim, metric, found),
        "metric": metric,
        "claimed": claimed,
        "ratio": found and found.ratio,
        "low": found and found.low,
        "high": found and found.high,
        "n": found and found.n,
        "outcome": judgement.outcome,
        "why": judgement.why,
    }


def _judge_metric(
    claim: Claim,
    metric: str,
    claimed: Claimed,
    verdict: Mapping[str, Any],
    margin: float,
) -> tuple[Comparison | None, Judgement]:
    rows = verdict["comparisons"]
    found = find(rows, claim.load, metric, claim.arm, claim.against)
    if found is None:
        why = f"no trials of {metric} under {claim.load!r} that could be compared"
        return None, Judgement(CANNOT_TELL, why)
    estimate = found.estimate
    if found.verdict in ("void", "overloaded") or estimate is None:
        return None, Judgement(CANNOT_TELL, found.why or "its trials were void")
    if not verdict["trustworthy"]:
        why = f"the run is untrustworthy: {verdict['why']}"
        return found, Judgement(CANNOT_TELL, why)
    return found, outcome(estimate, found.verdict, found.differs, claimed, margin)


def outcome(  # noqa: PLR0911 - a table of rules
    found: Ratio, verdict: Verdict, differs: bool, claimed: Claimed, margin: float
) -> Judgement:
    """Apply the rules above to one comparison. differs: with Holm's correction."""
    if found.n < MIN_BLOCKS:
        why = f"{found.n} blocks; it takes {MIN_BLOCKS} to tell a difference from chance"
        return Judgement(CANNOT_TELL, why)
    same = verdict == "equivalent"
    if not same and not differs:
        return Judgement(CANNOT_TELL, "the comparison itself is inconclusive")
    least, most = band(margin)
    no_difference = f"no difference above {margin:.0%}"
    if claimed == 1:
        if same:
            return Judgement(CONFIRMED, no_difference)
        if found.high < least or found.low > most:
            return Judgement(REFUTED, f"a difference above {margin:.0%}")
        return Judgement(CANNOT_TELL, f"a difference, which may be below {margin:.0%}")
    if claimed in ("<=1", ">=1"):
        return _on_one_side(found, same, claimed == ">=1", margin)
    up = claimed == ">1" or (not isinstance(claimed, str) and claimed > 1)
    on_its_side = differs and (found.low > 1 if up else found.high < 1)
    if differs and not on_its_side:
        return Judgement(REFUTED, "the opposite direction")
    if isinstance(claimed, str):
        possible = on_its_side
        why = f"the direction, but {no_difference}" if same else "the claimed direction"
    else:
        possible = found.low * least <= claimed <= found.high * most
        why = "the claimed size is possible"
        same = same and not possible and not least <= claimed <= most
    if on_its_side and possible:
        return Judgement(CONFIRMED, why)
    if same:
        return Judgement(REFUTED, no_difference)
    if on_its_side:
        return Judgement(DIRECTION, "the direction, but not the size")
    return Judgement(CANNOT_TELL, "no difference was found, and the claimed one would be as small")


def _on_one_side(found: Ratio, same: bool, up: bool, margin: float) -> Judgement:
    """Judge that there is no difference but upwards (*up*), or but downwards."""
    if same:
        return Judgement(CONFIRMED, f"no difference above {margin:.0%}")
    if found.low > 1 if up else found.high < 1:
        return Judgement(CONFIRMED, "a difference in the direction that the claim allows")
    least, most = band(margin)
    if found.high < least if up else found.low > most:
        return Judgement(REFUTED, f"the opposite direction, by more than {margin:.0%}")
    return Judgement(CANNOT_TELL, f"the opposite direction, which may be below {margin:.0%}")


def inverse_claim(claimed: Claimed) -> Claimed:
    if isinstance(claimed, str):
        return _INVERSE[claimed]
    return 1 / claimed


def _measured(claim: Claim, metric: str, found: Comparison | None) -> str:
    what = METRICS[metric]
    text = f"{what.label}, “{claim.arm}” against “{claim.against}”, under “{claim.load}”"
    if found is None or None in found.means.values():
        return text
    arm, baseline = (with_unit(found.means[name], found.unit) for name in ("arm", "baseline"))
    return f"{text}: {arm} against {baseline}"
