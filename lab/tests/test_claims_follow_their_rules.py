"""Published claims are judged by the rules of judge/claims.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.judge import claims, estimate
from lab.judge.claims import CANNOT_TELL, CONFIRMED, DIRECTION, OTHER, REFUTED
from lab.judge.comparison import Comparison, Verdict
from lab.judge.estimate import Ratio
from lab.measure.facts import Fact, FactError
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Claim, Claimed, Experiment, Load
from lab.trial import METRICS

MARGIN = 0.05

# low, high, claimed, outcome
RULES = [
    # no difference claimed
    (0.97, 1.03, 1, CONFIRMED),
    (1.01, 1.04, 1, CONFIRMED),  # different, but by less than anybody would act on
    (1.06, 1.20, 1, REFUTED),
    (0.50, 0.90, 1, REFUTED),
    (1.02, 1.20, 1, CANNOT_TELL),
    (0.90, 1.02, 1, CANNOT_TELL),
    # a direction claimed
    (0.10, 0.13, "<1", CONFIRMED),
    (0.97, 0.99, "<1", CONFIRMED),
    (1.02, 1.30, "<1", REFUTED),
    (0.97, 1.03, "<1", REFUTED),
    (0.80, 1.10, "<1", CANNOT_TELL),
    (1.02, 1.30, ">1", CONFIRMED),
    (0.70, 0.90, ">1", REFUTED),
    # no difference in the other direction claimed: "the herd does no harm"
    (1.06, 1.08, ">=1", CONFIRMED),
    (0.97, 1.03, ">=1", CONFIRMED),
    (0.80, 0.90, ">=1", REFUTED),
    (0.90, 0.98, ">=1", CANNOT_TELL),
    (0.90, 1.10, ">=1", CANNOT_TELL),
    (0.80, 0.90, "<=1", CONFIRMED),
    (1.06, 1.08, "<=1", REFUTED),
    # a ratio claimed: its size
    (0.75, 0.85, 0.8, CONFIRMED),
    (0.82, 0.90, 0.8, CONFIRMED),  # 0.8 is just within the interval widened by the margin
    (0.88, 0.94, 0.8, DIRECTION),
    (0.30, 0.40, 0.8, DIRECTION),  # far larger than claimed is another size, too
    (2.90, 3.60, 3.2, CONFIRMED),
    (1.40, 1.80, 3.2, DIRECTION),
    # … the other side
    (1.01, 1.10, 0.8, REFUTED),
    (0.60, 0.99, 3.2, REFUTED),
    # … no difference worth mentioning, where a large one is claimed
    (0.97, 1.03, 0.8, REFUTED),
    (0.96, 0.99, 0.8, REFUTED),
    # … a small one, which the margin hides
    (0.98, 1.02, 0.96, CANNOT_TELL),
    (0.94, 0.98, 0.96, CONFIRMED),
    (1.02, 1.04, 0.96, REFUTED),
    (0.99, 1.04, 1.06, CANNOT_TELL),  # 1.06 may still be the truth, give or take the margin
    # … too wide
    (0.70, 1.20, 0.8, CANNOT_TELL),
    (0.93, 1.10, 0.8, CANNOT_TELL),
]


def outcome(low: float, high: float, claimed: Claimed, n: int = 8) -> claims.Judgement:
    """For a comparison whose corrected verdict is what its interval says."""
    found = Ratio((low * high) ** 0.5, low, high, n)
    verdict: Verdict = "equivalent" if estimate.equivalent(found, MARGIN) else "inconclusive"
    return claims.outcome(found, verdict, low > 1 or high < 1, claimed, MARGIN)


@pytest.mark.parametrize(("low", "high", "claimed", "expected"), RULES)
def test_an_interval_is_judged_by_the_rules(
    low: float, high: float, claimed: Claimed, expected: str
) -> None:
    judgement = outcome(low, high, claimed)
    assert judgement.outcome == expected, judgement.why
    assert judgement.why


@pytest.mark.parametrize(("low", "high", "claimed", "expected"), RULES)
def test_it_does_not_matter_which_arm_comes_first(
    low: float, high: float, claimed: Claimed, expected: str
) -> None:
    other = claims.inverse_claim(claimed)
    assert outcome(1 / high, 1 / low, other).outcome == expected


@pytest.mark.parametrize(("low", "high", "claimed", "expected"), RULES)
def test_a_claim_never_says_more_than_its_comparison(
    low: float, high: float, claimed: Claimed, expected: str
) -> None:
    """The interval excludes 1, but Holm's correction does not allow a difference."""
    found = Ratio((low * high) ** 0.5, low, high, 8)
    if not estimate.equivalent(found, MARGIN):
        judgement = claims.outcome(found, "inconclusive", False, claimed, MARGIN)
        assert judgement.outcome == CANNOT_TELL


@pytest.mark.parametrize(("low", "high", "claimed", "expected"), RULES)
def test_five_blocks_cannot_tell(low: float, high: float, claimed: Claimed, expected: str) -> None:
    judgement = outcome(low, high, claimed, n=5)
    assert judgement.outcome == CANNOT_TELL
    assert "5 blocks" in judgement.why


ARMS = (
    ArmSpec("off", against=""),
    ArmSpec("on", {"STACK_THUNDER_LOCK": "on"}, against="off"),
    ArmSpec("other", against="off"),
)
LOADS = (Load("full", "closed"),)


def experiment(**table: Claim) -> Experiment:
    return Experiment(
        name="e", question="q", primary_metric="cpu_us", primary_load="full", baseline="off",
        canaries=("burn_40",), margin=MARGIN, loads=LOADS, arms=ARMS, claims=table,
    )  # fmt: skip


def compared(metric: str, low: float, high: float, n: int = 8, **other: Any) -> dict[str, Any]:
    one = Comparison(
        "on", "off", "arm", "full", metric, METRICS[metric].unit, primary=False,
        values={"arm": [40.0], "baseline": [50.0]}, log_ratios=[0.0] * n,
        verdict="inconclusive", ratio=(low * high) ** 0.5, low=low, high=high,
        p=0.01, p_holm=0.01,
    )  # fmt: skip
    return replace(one, **other).to_json()


def verdict(*comparisons: dict[str, Any], trustworthy: bool = True) -> dict[str, Any]:
    return {"trustworthy": trustworthy, "why": "the twin failed", "comparisons": [*comparisons]}


def claim(**other: Any) -> Claim:
    given = {"arm": "on", "against": "off", "load": "full", "metric": "rps", "ratio": 0.8, **other}
    return Claim("it costs 20 %", "a page", **given)


def judged(found: dict[str, Any], table: Claim) -> dict[str, Any]:
    (row,) = claims.judge(experiment(c=table), found, {})
    return row


def test_a_row_has_the_figures_of_the_comparison() -> None:
    row = judged(verdict(compared("rps", 0.75, 0.85)), claim())
    assert row["outcome"] == CONFIRMED
    assert (row["claim"], row["says"], row["source"]) == ("c", "it costs 20 %", "a page")
    assert (row["low"], row["high"], row["n"], row["claimed"]) == (0.75, 0.85, 8, 0.8)
    assert "“on” against “off”, under “full”: 40.0/s against 50.0/s" in row["measured"]


def test_a_claim_about_other_software_is_neither_confirmed_nor_refuted() -> None:
    table = claim(conditions="Theirs was Django.")
    row = judged(verdict(compared("rps", 0.75, 0.85)), table)
    assert row["outcome"] == OTHER
    assert row["why"] == "here confirmed: the claimed size is possible. Theirs was Django."
    assert row["low"] == 0.75, "the figure is shown all the same"


def test_a_claim_may_turn_the_comparison_round() -> None:
    turned = claim(arm="off", against="on", ratio=1.25)
    row = judged(verdict(compared("rps", 0.75, 0.85)), turned)
    assert row["outcome"] == CONFIRMED
    assert (row["low"], row["high"]) == (pytest.approx(1 / 0.85), pytest.approx(1 / 0.75))
    assert "“off” against “on”, under “full”: 50.0/s against 40.0/s" in row["measured"]


def test_the_stand_in_answers_with_the_inverse_where_the_metric_cannot() -> None:
    noisy, steady = compared("rps", 0.6, 1.2), compared("cpu_us", 1.20, 1.30)
    row = judged(verdict(noisy, steady), claim(stand_in="cpu_us", note="Mind the rest."))
    assert row["outcome"] == CONFIRMED
    assert (row["metric"], row["claimed"], row["low"]) == ("cpu_us", 1.25, 1.20)
    assert row["why"].startswith(
        "rps cannot tell (the comparison itself is inconclusive); cpu_us instead: "
    )
    assert row["why"].endswith(". Mind the rest.")


def test_the_stand_in_is_not_asked_where_the_metric_can_tell() -> None:
    row = judged(
        verdict(compared("rps", 1.01, 1.1), compared("cpu_us", 1.2, 1.3)), claim(stand_in="cpu_us")
    )
    assert (row["outcome"], row["metric"]) == (REFUTED, "rps")


def test_a_stand_in_that_cannot_tell_either_leaves_both_reasons() -> None:
    row = judged(
        verdict(compared("rps", 0.6, 1.2), compared("cpu_us", 0.8, 1.4)), claim(stand_in="cpu_us")
    )
    assert row["outcome"] == CANNOT_TELL
    assert "rps: " in row["why"]
    assert "cpu_us: " in row["why"]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (verdict(compared("rps", 0.75, 0.85), trustworthy=False), "the twin failed"),
        (verdict(), "no trials of rps under 'full'"),
        (
            verdict(compared("rps", 0.75, 0.85, verdict="void", why="3 good blocks")),
            "3 good blocks",
        ),
        (verdict(compared("rps", 0.75, 0.85, n=5)), "5 blocks"),
        (verdict(compared("rps", 0.75, 0.85, load="else")), "no trials of rps"),
        (verdict(compared("rps", 0.75, 0.85, arm="other")), "no trials of rps"),
    ],
)
def test_untrustworthy_or_missing_figures_cannot_tell(found: dict[str, Any], why: str) -> None:
    row = judged(found, claim())
    assert row["outcome"] == CANNOT_TELL
    assert why in row["why"]


def test_a_fact_confirms_or_refutes_even_in_an_untrustworthy_run() -> None:
    table = Claim("s", "a page", fact="harakiri-kills")
    found = verdict(trustworthy=False)
    for holds, expected in ((True, CONFIRMED), (False, REFUTED)):
        fact = Fact("harakiri-kills", "harakiri kills", "it was cut off", holds)
        (row,) = claims.judge(experiment(c=table), found, {"harakiri-kills": fact})
        assert (row["outcome"], row["measured"]) == (expected, "it was cut off")
        assert row["ratio"] is row["low"] is row["high"] is row["n"] is None


def test_a_fact_that_was_not_tried_cannot_tell() -> None:
    table = Claim("s", "a page", fact="harakiri-kills")
    error = FactError("uWSGI ended with exit code 1; its log ends:\nmore")
    (row,) = claims.judge(experiment(c=table), verdict(), {"harakiri-kills": error})
    assert row["outcome"] == CANNOT_TELL
    assert row["why"] == "uWSGI ended with exit code 1"
    (row,) = claims.judge(experiment(c=table), verdict(), {})
    assert row["why"] == "it was not tried in this run"


def test_facts_needed_are_named_once() -> None:
    table = {name: Claim("s", "t", fact="harakiri-kills") for name in "ab"} | {"c": claim()}
    assert claims.facts_needed(table) == ["harakiri-kills"]
