"""Published claims, held against what was measured here: confirmed, refuted, or cannot tell.

A claim is a line of an experiment's [claims]. What was published as a figure names a comparison and
the claimed ratio, arm ÷ against, of the metric as it stands:

    slower = { says = "…", source = "…", arm = "on", against = "off", load = "full",
               metric = "rps", ratio = 0.8, stand_in = "cpu_us" }

`ratio` is a number, 1 for "makes no difference", or "<1" or ">1" where only a direction was
claimed. `stand_in` is a steadier metric that answers where *metric* cannot, under the same load; if
more is better of one and less of the other, its claimed ratio is the inverse. What is true or false
names a probe of facts.py instead: `fact = "…"`. A `note` is added to the reasons.

judge/claims.py has the rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lab.measure.facts import PROBES
from lab.trial import METRICS

if TYPE_CHECKING:
    from lab.plan.experiment import ArmSpec, Load

Claimed = float | Literal["<1", ">1"]

_ALWAYS = ("says", "source")
_FIGURE = ("arm", "against", "load", "metric", "ratio")
_OPTIONAL = ("stand_in", "note")


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


def _unknown(what: str, name: object, allowed: Collection[str]) -> str:
    return f"unknown {what} {name!r}; allowed are {', '.join(allowed)}"
