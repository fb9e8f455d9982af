"""Published claims, held against what was measured here: confirmed, refuted, or cannot tell.

A claim is a line of an experiment's [claims]. What was published as a figure names a comparison and
the claimed ratio, arm ÷ against, of the metric as it stands:

    slower = { says = "…", source = "…", arm = "on", against = "off", load = "full",
               metric = "rps", ratio = 0.8, stand_in = "cpu_us" }

`ratio` is a number, 1 for "makes no difference", or "<1" or ">1" where only a direction was
claimed. `stand_in` is a steadier metric that answers where *metric* cannot, under the same load; if
more is better of one and less of the other, its claimed ratio is the inverse. What is true or false
names a probe of facts.py instead: `fact = "…"`. A `note` is added to the reasons.

How a figure is judged, from its 95 % interval and the margin (estimate.band) within which the
experiment calls arms equal:

    no difference claimed    inside the band: confirmed; wholly outside it: refuted
    a direction claimed      wholly on that side of 1: confirmed; wholly on the other, or inside
                             the band: refuted
    a ratio claimed          wholly on the other side of 1: refuted
                             wholly on its side, and the ratio within the interval widened by the
                             margin: confirmed
                             inside the band, and the ratio neither there nor within the widened
                             interval: refuted
                             wholly on its side, another size: confirmed in direction, not in size

Everything else cannot be told here, and neither can a claim whose comparison is missing, void, of
fewer than six blocks, or of a run whose twin or canary failed. Claims are judged one by one: among
twenty intervals, one is expected to miss the truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from lab.judge.estimate import MIN_BLOCKS, band
from lab.measure.facts import PROBES, Fact, FactError
from lab.trial import METRICS

if TYPE_CHECKING:
    from lab.plan.experiment import ArmSpec, Experiment, Load

Outcome = Literal["confirmed", "confirmed in direction, not in size", "refuted", "cannot tell here"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
CONFIRMED, DIRECTION, REFUTED, CANNOT_TELL = OUTCOMES

Claimed = float | Literal["<1", ">1"]

_ALWAYS = ("says", "source")
_FIGURE = ("arm", "against", "load", "metric", "ratio")
_OPTIONAL = ("stand_in", "note")


@dataclass(frozen=True)
class Interval:
    """A measured ratio with its 95 % interval over *n* blocks."""

    ratio: float
    low: float
    high: float
    n: int

    def inverse(self) -> Interval:
        return Interval(1 / self.ratio, 1 / self.high, 1 / self.low, self.n)

    def __str__(self) -> str:
        return f"{_number(self.ratio)} [{_number(self.low)}, {_number(self.high)}], n={self.n}"


@dataclass(frozen=True)
class Judgement:
    """An outcome and its reason."""

    outcome: Outcome
    why: str


@dataclass(frozen=True)
class Found:
    """What a run says about a figure: the interval, or why there is none to go by."""

    interval: Interval | None
    missing: str = ""
    values: str = ""  # "1.7 against 14.6": the medians over blocks


# ---- Reading the claims --------------------------------------------------------------------------


def faults(
    table: Mapping[str, Any], arms: Sequence[ArmSpec], loads: Sequence[Load]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the [claims] of an experiment: the keys that lead there, and a text."""
    for name, claim in table.items():
        if not isinstance(claim, dict):
            yield (name,), "must be a table, such as { says = …, source = … }"
            continue
        kind = ("fact", "note") if "fact" in claim else (*_FIGURE, *_OPTIONAL)
        for key in claim:
            if key not in (*_ALWAYS, *kind):
                yield (name, key), _unknown("key of this claim", key, (*_ALWAYS, *kind))
        for key in (*_ALWAYS, *(key for key in kind if key not in _OPTIONAL)):
            if key not in claim:
                yield (name,), f"{key} is missing in {name}"
        for key in (*_ALWAYS, "note"):
            if key in claim and not (isinstance(claim[key], str) and claim[key].strip()):
                yield (name, key), f"{key} = {claim[key]!r}: must be a text that is not empty"
        if "fact" in claim:
            if claim["fact"] not in PROBES:
                yield (name, "fact"), _unknown("fact", claim["fact"], PROBES)
        else:
            yield from _figure_faults(name, claim, arms, loads)


def _figure_faults(
    name: str, claim: Mapping[str, Any], arms: Sequence[ArmSpec], loads: Sequence[Load]
) -> Iterator[tuple[tuple[str, ...], str]]:
    comparable = [metric.name for metric in METRICS.values() if metric.kind != "tally"]
    allowed: Mapping[str, tuple[str, Collection[str]]] = {
        "arm": ("arm", [arm.name for arm in arms]),
        "against": ("arm", [arm.name for arm in arms]),
        "load": ("load", [load.name for load in loads]),
        "metric": ("metric", comparable),
        "stand_in": ("metric", comparable),
    }
    known = True
    for key, (what, names) in allowed.items():
        if key in claim and claim[key] not in names:
            known = False
            yield (name, key), _unknown(what, claim[key], names)
    ratio = claim.get("ratio", 1)
    if ratio not in ("<1", ">1") and (
        not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio < 1000
    ):
        yield (
            (name, "ratio"),
            f'ratio = {ratio!r}: must be a number such as 0.8, 1 for "no difference", "<1" or ">1"',
        )
    if known and "arm" in claim and "against" in claim:
        compared = {(arm.name, arm.against) for arm in arms}
        pair = (claim["arm"], claim["against"])
        if pair not in compared and pair[::-1] not in compared:
            yield (
                (name, "against"),
                f'{pair[0]!r} is not compared with {pair[1]!r}: give one of them against = "…"',
            )


def facts_needed(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The probes that the claims name, each once."""
    return list(dict.fromkeys(str(claim["fact"]) for claim in table.values() if "fact" in claim))


# ---- Judging -------------------------------------------------------------------------------------


def outcome(found: Interval, claimed: Claimed, margin: float) -> Judgement:
    """Judge an interval by the rules above. Of fewer than MIN_BLOCKS nothing can be told."""
    if found.n < MIN_BLOCKS:
        return Judgement(
            CANNOT_TELL, f"{found.n} blocks; it takes {MIN_BLOCKS} to tell a difference from chance"
        )
    if claimed == 1:
        return _no_difference(found, margin)
    up = claimed == ">1" or (not isinstance(claimed, str) and claimed > 1)
    if found.high < 1 if up else found.low > 1:
        return Judgement(REFUTED, f"{found}: it is the other way round")
    on_its_side = found.low > 1 if up else found.high < 1
    if isinstance(claimed, str):
        return _direction(found, on_its_side, margin)
    return _size(found, claimed, on_its_side, margin)


def _same(found: Interval, margin: float) -> bool:
    least, most = band(margin)
    return least <= found.low and found.high <= most


def _size(found: Interval, claimed: float, on_its_side: bool, margin: float) -> Judgement:
    least, most = band(margin)
    text = _number(claimed)
    possible = found.low * least <= claimed <= found.high * most
    if on_its_side and possible:
        return Judgement(CONFIRMED, f"{found} agrees with the claimed {text}")
    if _same(found, margin) and not possible and not least <= claimed <= most:
        return Judgement(
            REFUTED, f"{found}: no difference above {margin:.0%}, where {text} is claimed"
        )
    if on_its_side:
        return Judgement(DIRECTION, f"{found}, where {text} is claimed")
    why = f"{found}: the interval holds 1, so not even the direction is sure"
    if not possible:
        limit = found.high if claimed > 1 else found.low
        why += f"; {_number(limit)} is the most that is left of the claimed {text}"
    return Judgement(CANNOT_TELL, why)


def _no_difference(found: Interval, margin: float) -> Judgement:
    least, most = band(margin)
    if _same(found, margin):
        return Judgement(CONFIRMED, f"{found}: no difference above {margin:.0%}")
    if found.high < least or found.low > most:
        return Judgement(REFUTED, f"{found}: a difference above {margin:.0%}")
    return Judgement(CANNOT_TELL, f"{found}: within and beyond {margin:.0%} are both possible")


def _direction(found: Interval, on_its_side: bool, margin: float) -> Judgement:
    if on_its_side:
        small = f", by less than {margin:.0%}" if _same(found, margin) else ""
        return Judgement(CONFIRMED, f"{found}: the claimed direction{small}")
    if _same(found, margin):
        return Judgement(REFUTED, f"{found}: no difference above {margin:.0%}")
    return Judgement(CANNOT_TELL, f"{found}: the interval holds 1, so the direction is not sure")


def judge(
    experiment: Experiment, verdict: Mapping[str, Any], facts: Mapping[str, Fact | FactError]
) -> list[dict[str, Any]]:
    """Return a row for each of the experiment's claims, in the order of the file.

    verdict: verdict.json, of which `trustworthy`, `why` and `comparisons` are read. facts: by name;
    a probe that failed, or that is missing, leaves its claim untold.

    A row holds claim, says, source, measured (what was compared, or what was seen), metric,
    claimed, ratio, low, high and n (of the figure that decided; None for a fact), outcome, why.
    """
    rows = []
    for name, claim in experiment.claims.items():
        row = {"claim": name, "says": claim["says"], "source": claim["source"]}
        if "fact" in claim:
            row |= _judge_fact(facts.get(claim["fact"]))
        else:
            row |= _judge_figure(claim, verdict, experiment.margin)
        if note := claim.get("note"):
            row["why"] = f"{row['why']}. {note}"
        rows.append(row)
    return rows


def _judge_fact(fact: Fact | FactError | None) -> dict[str, Any]:
    nothing = dict.fromkeys(("metric", "claimed", "ratio", "low", "high", "n"))
    if isinstance(fact, Fact):
        return {
            **nothing,
            "measured": fact.observed,
            "outcome": CONFIRMED if fact.holds else REFUTED,
            "why": f"tried on a real uWSGI: {fact.says}: {'yes' if fact.holds else 'no'}",
        }
    why = "it was not tried in this run"
    if fact is not None:
        why = str(fact).splitlines()[0].removesuffix("; its log ends:")
    return {**nothing, "measured": "", "outcome": CANNOT_TELL, "why": why}


def _judge_figure(
    claim: Mapping[str, Any], verdict: Mapping[str, Any], margin: float
) -> dict[str, Any]:
    claimed: Claimed = claim["ratio"]
    found = _find(claim, claim["metric"], verdict)
    judgement = _judged(found, claimed, margin)
    metric = claim["metric"]
    stand_in = claim.get("stand_in")
    if judgement.outcome == CANNOT_TELL and stand_in is not None:
        instead = _find(claim, stand_in, verdict)
        inverted = METRICS[metric].better != METRICS[stand_in].better
        expected = _inverse(claimed) if inverted else claimed
        second = _judged(instead, expected, margin)
        if second.outcome != CANNOT_TELL:
            reason = (
                f"{metric} cannot tell here ({judgement.why}); {stand_in} stands in, of which "
                f"{_claimed_text(expected)} would be expected: {second.why}"
            )
            judgement = replace(second, why=reason)
            metric, claimed, found = stand_in, expected, instead
        else:
            why = f"{metric}: {judgement.why}; {stand_in}: {second.why}"
            judgement = replace(judgement, why=why)
    interval = found.interval
    return {
        "measured": _measured(claim, metric, found),
        "metric": metric,
        "claimed": claimed,
        "ratio": interval and interval.ratio,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "n": interval and interval.n,
        "outcome": judgement.outcome,
        "why": judgement.why,
    }


def _judged(found: Found, claimed: Claimed, margin: float) -> Judgement:
    if found.interval is None or found.missing:
        return Judgement(CANNOT_TELL, found.missing)
    return outcome(found.interval, claimed, margin)


def _find(claim: Mapping[str, Any], metric: str, verdict: Mapping[str, Any]) -> Found:
    """The comparison that *claim* speaks of, turned round where it was made the other way."""
    pair = (claim["arm"], claim["against"])
    for comparison in verdict["comparisons"]:
        if (comparison["load"], comparison["metric"]) != (claim["load"], metric):
            continue
        made = (comparison["arm"], comparison["baseline"])
        if made not in (pair, pair[::-1]):
            continue
        if comparison["verdict"] == "void" or comparison["ratio"] is None:
            return Found(None, comparison.get("why") or "its trials were void")
        interval = Interval(*(comparison[key] for key in ("ratio", "low", "high", "n")))
        medians = [comparison.get("medians", {}).get(key) for key in ("arm", "baseline")]
        if made != pair:
            interval = interval.inverse()
            medians.reverse()
        missing = ""
        if not verdict["trustworthy"]:
            missing = f"the run is untrustworthy: {verdict['why']}"
        values = [_number(value) for value in medians if value is not None]
        return Found(interval, missing, " against ".join(values))
    return Found(None, f"no trials of {metric} under {claim['load']!r} that could be compared")


def _measured(claim: Mapping[str, Any], metric: str, found: Found) -> str:
    what = METRICS[metric]
    arms = f"“{claim['arm']}” against “{claim['against']}”"
    figures = f": {found.values} {what.unit}".rstrip() if found.values else ""
    return f"{what.meaning}, {arms}, under “{claim['load']}”{figures}"


def _inverse(claimed: Claimed) -> Claimed:
    if isinstance(claimed, str):
        return "<1" if claimed == ">1" else ">1"
    return 1 / claimed


def _claimed_text(claimed: Claimed) -> str:
    return claimed if isinstance(claimed, str) else _number(claimed)


def _number(value: float) -> str:
    """Three significant digits without an exponent: 0.0625, 14.6, 21,028."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _unknown(what: str, name: object, allowed: Collection[str]) -> str:
    return f"unknown {what} {name!r}; allowed are {', '.join(allowed)}"
