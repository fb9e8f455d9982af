"""States the result of a run: a headline that everybody can read, and a sentence with the figures.

The file of an experiment may declare `answer = [arm, against]`. The headline then answers the
question with yes or no. Otherwise it counts the file's claims or budgets. If there are none it
shows the largest effect, whose interval has to allow for having been picked among several.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lab.judge import estimate, numbers
from lab.judge.comparison import Comparison
from lab.judge.estimate import Ratio
from lab.judge.numbers import with_unit
from lab.trial import METRICS

_WORDS = {"faster": "better", "slower": "worse"}
_ORDER = ("faster", "slower", "equivalent", "inconclusive", "overloaded", "void")


def asked(pair: tuple[str, str] | None, main: Sequence[Comparison]) -> Comparison | None:
    """The comparison that the experiment declared as its answer, among the primary ones."""
    return next((one for one in main if (one.arm, one.baseline) == pair), None)


def headline(main: Sequence[Comparison], declared: Comparison | None, margin: float) -> str:
    """One short line without jargon."""
    if not main:
        return "Only the controls were compared."
    lead = declared or min(main, key=_rank)
    if lead.verdict in ("void", "overloaded"):
        return f"No answer: {lead.why}."
    if lead.verdict == "inconclusive":
        return f"Not settled: {_change(lead, 'and')}."
    if lead.verdict == "equivalent":
        both = f"{_change(lead, 'and')} are equivalent, within ±{margin:.0%}"
        return f"{'No' if declared else 'No difference'}: {both}."
    if declared is None:
        return f'The largest difference is "{lead.arm}": {_change(lead, "become")}.'
    yes = "Yes" if lead.verdict == "faster" else "No, the opposite"
    return f"{yes}: {_change(lead, 'become')}."


def of_lists(found: Mapping[str, Any]) -> dict[str, str]:
    """Headline and certainty of a file that asks about its claims or budgets, not about two arms.

    found: the content of verdict.json. Empty if the run is untrustworthy or has neither.
    """
    if not found["trustworthy"]:
        return {}
    if rows := found.get("claims"):
        outcomes = Counter(row["outcome"] for row in rows).most_common()
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes)
        return {
            "headline": f"Of {len(rows)} claims: {counts}.",
            "certainty": "The intervals of the comparisons decide, or a try on a real uWSGI.",
        }
    if rows := found.get("budgets"):
        met = sum(row["met"] for row in rows)
        return {
            "headline": f"{met} of {len(rows)} budgets are met.",
            "certainty": "A budget is met if the whole 95 % interval keeps it.",
        }
    return {}


def certainty(main: Sequence[Comparison], declared: Comparison | None, looks: float = 1.0) -> str:
    """How sure the headline is, or "" if it has no figures. *looks*: see lab.judge.looks."""
    lead = declared or min(main, key=_rank, default=None)
    if lead is None or lead.estimate is None:
        return ""
    found = estimate.over_blocks(lead.log_ratios, looks * (1 if declared else len(main)))
    return (
        f"The ratio is {numbers.ratio(found.ratio)}. Its 95 % interval over {found.n} fresh starts "
        f"of each arm is {numbers.ratio(found.low)} to {numbers.ratio(found.high)}."
    )


def sentence(
    main: Sequence[Comparison], declared: Comparison | None, margin: float, looks: float = 1.0
) -> str:
    """*main*: the primary comparisons of the ordinary arms."""
    if not main:
        return "Nothing but the controls was compared."
    lead = declared or min(main, key=_rank)
    text = _one(lead, margin, _interval(lead, 1 if declared else len(main), looks))
    others = Counter(_WORDS.get(one.verdict, one.verdict) for one in main if one is not lead)
    if len(main) == 2:
        text += f"; the other comparison is {next(iter(others))}"
    elif others:
        counts = ", ".join(f"{count} {word}" for word, count in others.most_common())
        text += f"; the other {len(main) - 1} comparisons: {counts}"
    return f"{text}."


def _interval(one: Comparison, chosen_from: int, looks: float) -> str:
    found: Ratio | None = one.estimate
    if found is None or chosen_from == 1 or one.n < 2:
        return str(one)
    found = estimate.over_blocks(one.log_ratios, looks * chosen_from)
    return f"{one.with_interval(found)}, simultaneous over {chosen_from} comparisons"


def _change(one: Comparison, verb: str) -> str:
    """18.4 wake-ups per request become 2.38; CPU per request: 692 µs become 600 µs."""
    theirs, ours = (with_unit(one.means[name], one.unit) for name in ("baseline", "arm"))
    label = METRICS[one.metric].label
    if one.unit:
        return f"{label}: {theirs} {verb} {ours}"
    return f"{theirs} {label} {verb} {ours}"


def _one(one: Comparison, margin: float, interval: str) -> str:
    arm, baseline = f'"{one.arm}"', f'"{one.baseline}"'
    what, under = METRICS[one.metric].meaning, f'under "{one.load}"'
    if one.verdict in ("void", "overloaded"):
        return f"No answer about {arm} and {baseline} in {what} {under}: {one.why}"
    ours, theirs = (with_unit(one.means[name], one.unit) for name in ("arm", "baseline"))
    if one.verdict == "equivalent":
        return (
            f"{arm} and {baseline} are equivalent (within ±{margin:.0%}) in {what} {under}, "
            f"{ours} and {theirs}: {interval}"
        )
    if one.verdict == "inconclusive":
        return (
            f"It is not settled whether {arm} differs from {baseline} in {what} {under}, "
            f"{ours} and {theirs}: {interval}; {one.blocks_needed} blocks would settle it four "
            "times in five"
        )
    verb = "lowers" if one.ratio is not None and one.ratio < 1 else "raises"
    return f"{arm} {verb} {what} from {theirs} ({baseline}) to {ours} {under}: {interval}"


def _rank(one: Comparison) -> tuple[int, float]:
    """Differences first, then equivalence, then open questions; the largest effect first."""
    place = max(1, _ORDER.index(one.verdict))
    return place, -abs(math.log(one.ratio)) if one.ratio else 0.0
