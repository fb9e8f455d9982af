"""States the result of a run in one sentence: the largest effect, and the count of the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lab.judge.comparison import Comparison
from lab.judge.numbers import with_unit
from lab.trial import METRICS

_WORDS = {"faster": "better", "slower": "worse"}
_ORDER = ("faster", "slower", "equivalent", "inconclusive", "overloaded", "void")


def sentence(main: Sequence[Comparison], margin: float) -> str:
    """*main*: the primary comparisons of the ordinary arms."""
    if not main:
        return "Nothing but the controls was compared."
    lead = min(main, key=_rank)
    text = _one(lead, margin)
    others = Counter(_WORDS.get(one.verdict, one.verdict) for one in main if one is not lead)
    if len(main) == 2:
        text += f"; the other comparison is {next(iter(others))}"
    elif others:
        counts = ", ".join(f"{count} {word}" for word, count in others.most_common())
        text += f"; the other {len(main) - 1} comparisons: {counts}"
    return f"{text}."


def _one(one: Comparison, margin: float) -> str:
    arm, baseline = f'"{one.arm}"', f'"{one.baseline}"'
    what, under = METRICS[one.metric].meaning, f'under "{one.load}"'
    if one.verdict in ("void", "overloaded"):
        return f"No answer about {arm} and {baseline} in {what} {under}: {one.why}"
    ours, theirs = (with_unit(one.medians[name], one.unit) for name in ("arm", "baseline"))
    if one.verdict == "equivalent":
        return (
            f"{arm} and {baseline} are equivalent (within ±{margin:.0%}) in {what} {under}, "
            f"{ours} and {theirs}: {one}"
        )
    if one.verdict == "inconclusive":
        return (
            f"It is not settled whether {arm} differs from {baseline} in {what} {under}, "
            f"{ours} and {theirs}: {one}; about {one.blocks_needed} blocks would settle it"
        )
    verb = "lowers" if one.ratio is not None and one.ratio < 1 else "raises"
    return f"{arm} {verb} {what} from {theirs} ({baseline}) to {ours} {under}: {one}"


def _rank(one: Comparison) -> tuple[int, float]:
    """Differences first, then equivalence, then open questions; the largest effect first."""
    place = max(1, _ORDER.index(one.verdict))
    return place, -abs(math.log(one.ratio)) if one.ratio else 0.0
