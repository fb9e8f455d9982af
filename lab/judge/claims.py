"""Judges published claims by the figures of a run: confirmed, refuted, or cannot tell here.

lab.plan.experiment.Claim is what an experiment's file states. A claimed ratio is compared with
the measured ratio, its 95 % interval, and the margin within which the experiment calls arms equal:

    claimed             confirmed                        refuted
    1 (no difference)   interval inside the margin       interval outside the margin
    "<1" or ">1"        interval on that side of 1       interval on the other side, or inside the
                                                         margin
    a ratio             interval on its side of 1, and   interval on the other side, or inside the
                        the ratio inside the interval    margin while the ratio is neither there
                        widened by the margin            nor in the widened interval

An interval on the claimed side that does not include the claimed ratio is "confirmed in direction,
not in size". Everything else is "cannot tell here", and so is a claim whose comparison is missing,
void, of fewer than six blocks, or part of an untrustworthy run. Claims are judged one by one: of
twenty intervals, one is expected to miss the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lab.judge.comparison import Comparison, find
from lab.judge.estimate import MIN_BLOCKS, Ratio, band, equivalent
from lab.judge.numbers import with_unit
from lab.measure.facts import Fact, FactError
from lab.plan.experiment import Claim, Claimed, Experiment, FactName
from lab.trial import METRICS

Outcome = Literal["confirmed", "confirmed in direction, not in size", "refuted", "cannot tell here"]
CONFIRMED: Outcome = "confirmed"
DIRECTION: Outcome = "confirmed in direction, not in size"
REFUTED: Outcome = "refuted"
CANNOT_TELL: Outcome = "cannot tell here"


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
        if claim.note:
            row["why"] = f"{row['why']}. {claim.note}"
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
    return found, outcome(estimate, claimed, margin)


def outcome(found: Ratio, claimed: Claimed, margin: float) -> Judgement:
    """Apply the rules above to one interval."""
    if found.n < MIN_BLOCKS:
        why = f"{found.n} blocks; it takes {MIN_BLOCKS} to tell a difference from chance"
        return Judgement(CANNOT_TELL, why)
    if claimed == 1:
        return _no_difference(found, margin)
    up = claimed == ">1" or (not isinstance(claimed, str) and claimed > 1)
    if found.high < 1 if up else found.low > 1:
        return Judgement(REFUTED, "the opposite direction")
    on_its_side = found.low > 1 if up else found.high < 1
    least, most = band(margin)
    no_difference = f"no difference above {margin:.0%}"
    same = equivalent(found, margin)
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
    return (
        Judgement(DIRECTION, "the direction, but not the size")
        if on_its_side
        else Judgement(CANNOT_TELL, "the interval includes 1")
    )


def _no_difference(found: Ratio, margin: float) -> Judgement:
    least, most = band(margin)
    if equivalent(found, margin):
        return Judgement(CONFIRMED, f"no difference above {margin:.0%}")
    if found.high < least or found.low > most:
        return Judgement(REFUTED, f"a difference above {margin:.0%}")
    return Judgement(CANNOT_TELL, f"the interval reaches beyond {margin:.0%}")


def inverse_claim(claimed: Claimed) -> Claimed:
    if isinstance(claimed, str):
        return "<1" if claimed == ">1" else ">1"
    return 1 / claimed


def _measured(claim: Claim, metric: str, found: Comparison | None) -> str:
    what = METRICS[metric]
    text = f"{what.label}, “{claim.arm}” against “{claim.against}”, under “{claim.load}”"
    if found is None or None in found.medians.values():
        return text
    arm, baseline = (with_unit(found.medians[name], found.unit) for name in ("arm", "baseline"))
    return f"{text}: {arm} against {baseline}"
