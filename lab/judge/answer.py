"""What a run found, in a sentence that a colleague can be sent.

It has to fit any experiment, so it is put together from the arms' names, what the metric means, the
medians over blocks, and the ratio with its interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from lab.trial import Metric

if TYPE_CHECKING:
    from lab.judge.verdict import Comparison

_SAID = {"faster": "better", "slower": "worse"}


def sentence(main: Sequence[Comparison], margin: float) -> str:
    """The largest effect among *main*, the primary comparisons, and how the others came out."""
    if not main:
        return "Nothing but the controls was compared."
    lead = min(main, key=_rank)
    text = _of(lead, margin)
    others = Counter(_SAID.get(one.word, one.word) for one in main if one is not lead)
    if len(main) == 2:
        text += f"; the other comparison is {next(iter(others))}"
    elif others:
        counts = _and([f"{count} {word}" for word, count in others.most_common()])
        text += f"; of the other {len(main) - 1} comparisons, {counts}"
    return f"{text}."


def _of(one: Comparison, margin: float) -> str:
    arm, baseline = f'"{one.arm.name}"', f'"{one.arm.against}"'
    what, under = phrase(one.metric), f'under "{one.load.name}"'
    if one.word == "void":
        return f"No answer about {arm} and {baseline} in {what} {under}: {one.why}"
    ours, theirs = (
        with_unit(median(values), one.metric.unit)
        for values in (one.arm_values, one.baseline_values)
    )
    if one.word == "equivalent":
        return (
            f"{arm} and {baseline} are equivalent (within ±{margin:.0%}) in {what} {under}, "
            f"{ours} and {theirs}: {one}"
        )
    if one.word == "inconclusive":
        return (
            f"It is not settled whether {arm} differs from {baseline} in {what} {under}, "
            f"{ours} and {theirs}: {one}; about {one.blocks_needed} would settle it"
        )
    way = "down" if one.found and one.found.ratio < 1 else "up"
    return (
        f"{arm} brings {what} from {theirs} under {baseline} {way} to {ours} "
        f'(load "{one.load.name}"): {one}'
    )


def _rank(one: Comparison) -> tuple[int, float]:
    """Differences before equivalence, before what is open; the largest effect first."""
    place = {"faster": 0, "slower": 0, "equivalent": 1, "inconclusive": 2, "void": 3}[one.word]
    return place, -abs(math.log(one.found.ratio)) if one.found else 0.0


def phrase(metric: Metric) -> str:
    """The metric's meaning, to stand in a sentence."""
    text = metric.meaning
    for mark in (":", ";", ","):
        head, found, rest = text.partition(mark)
        if found:
            text = f"{head} ({rest.strip()})"
            break
    return f"the time {text}" if text.startswith("from ") else text


def with_unit(value: float, unit: str) -> str:
    if unit.startswith("1/"):
        return f"{number(value)}{unit[1:]}"
    return f"{number(value)} {unit}".strip()


def number(value: float) -> str:
    """As many digits as matter, never an exponent: 612, 41.0, 1.20, 0.082."""
    size = abs(value)
    if size == 0 or size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.{2 if size >= 1 else 1 - math.floor(math.log10(size))}f}"


def ratio(value: float) -> str:
    """Thousandths around 1, where they matter."""
    return f"{value:.3f}" if 0.1 <= value < 10 else number(value)


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
