"""The lab's statements of certainty hold for simulated machines as noisy as real ones.

A run has ten blocks. The arms of a block share 10 % of noise; each fresh start adds 2 %. In the
second world one start in twenty is three times as noisy as the others. Some checks have a
counterpart that must fail: the same data without pairing, Holm's correction, or fresh starts.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from lab.judge import estimate, verdict
from lab.plan.arms import ArmSpec
from lab.tests.invented_trials import BASE, CANARY, COST, TWIN, experiment, figures, rounds

pytestmark = pytest.mark.long

BLOCKS, BLOCK_NOISE, START = 10, 0.10, 0.02
WORLDS = {"even": 1.0, "heavy tails": 3.0}
FIVE = [f"arm {number}" for number in range(1, 6)]

# Rotations: a slice varies by 10 % and shares half of the variance with the other slices of its
# round. Fresh starts differ by 1 %.
ROUNDS, SLICE, SLICED_START = 60, 0.10, 0.01


@pytest.fixture(params=WORLDS)
def tails(request: pytest.FixtureRequest) -> float:
    return WORLDS[request.param]


def starts(random: np.random.Generator, shape: tuple[int, ...], tails: float) -> NDArray[Any]:
    return random.normal(0, START, shape) * np.where(random.random(shape) < 0.05, tails, 1)


def runs(
    seed: int, number: int, tails: float, true: dict[str, float]
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """For each run: the log figures per block of BASE and of *true* (arm → true log ratio)."""
    random = np.random.default_rng(seed)
    for _ in range(number):
        common = random.normal(0, BLOCK_NOISE, BLOCKS)
        noise = starts(random, (len(true) + 1, BLOCKS), tails)
        yield {
            arm: common + noise[index] + effect
            for index, (arm, effect) in enumerate({BASE: 0.0, **true}.items())
        }


def judged(runs: Iterator[dict[str, Any]], margin: float = 0.05) -> Iterator[dict[str, Any]]:
    """For each run: the rows of verdict.json by arm, and the whole verdict as "found"."""
    for logs in runs:
        arms = [arm for arm in logs if arm not in {BASE, TWIN, CANARY}]
        found = verdict.of(experiment(arms, margin=margin), figures(logs), {})
        yield {row["arm"]: row for row in found["comparisons"]} | {"found": found}


def share(answers: Iterator[bool]) -> float:
    return float(np.mean(list(answers)))


def test_95_percent_intervals_hold_the_truth_95_times_in_100(tails: float) -> None:
    true = np.log(1.2)
    found = [
        estimate.over_blocks(list(logs["new"] - logs[BASE]))
        for logs in runs(1, 3000, tails, {"new": true})
    ]
    coverage = share(one.low <= 1.2 <= one.high for one in found)
    assert 0.93 <= coverage <= 0.97, coverage


def test_a_true_5_percent_is_found_and_a_twin_is_equivalent(tails: float) -> None:
    nothing = dict.fromkeys(FIVE[1:], 0.0)
    true = {FIVE[0]: np.log(1.05), **nothing, TWIN: 0.0, CANARY: np.log(1.1)}
    found = list(judged(runs(2, 300, tails, true)))
    assert share(one[FIVE[0]]["verdict"] == "slower" for one in found) >= 0.80
    assert share(one[TWIN]["verdict"] == "equivalent" for one in found) >= 0.90
    assert share(one["found"]["trustworthy"] for one in found) >= 0.90


def test_without_pairing_a_true_5_percent_is_missed(tails: float) -> None:
    found = share(
        ttest_ind(logs["new"], logs[BASE]).pvalue <= 0.05
        for logs in runs(2, 1000, tails, {"new": np.log(1.05)})
    )
    assert found <= 0.30, "without block noise this would not test pairing"


def alarms(logs: dict[str, Any], holm: bool = True) -> set[str]:
    """The arms reported to differ from BASE, with or without Holm's correction."""
    of_arms = {arm: list(logs[arm] - logs[BASE]) for arm in FIVE}
    adjusted = estimate.holm([estimate.student_p(one) for one in of_arms.values()])
    return {
        arm
        for (arm, one), p_holm in zip(of_arms.items(), adjusted, strict=True)
        if estimate.differs(
            estimate.over_blocks(one), estimate.sign_flip_p(one), p_holm if holm else 0.0
        )
    }


def test_five_comparisons_raise_no_more_false_alarms_than_one(tails: float) -> None:
    made = list(runs(3, 3000, tails, dict.fromkeys(FIVE, 0.0)))
    assert share(bool(alarms(logs)) for logs in made) <= 0.05
    without = share(bool(alarms(logs, holm=False)) for logs in made[:500])
    assert without >= 0.10, "otherwise Holm's correction is not tested"


def test_a_verdict_raises_exactly_these_alarms(tails: float) -> None:
    """The margin is so small that no alarm is called equivalent."""
    made = list(runs(4, 60, tails, dict.fromkeys([*FIVE, TWIN, CANARY], 0.0)))
    raised = [
        {arm for arm in FIVE if one[arm]["verdict"] in {"faster", "slower"}}
        for one in judged(iter(made), margin=0.001)
    ]
    assert raised == [alarms(logs) for logs in made]
    assert any(raised)


def slices(
    random: np.random.Generator, blocks: int, number: int, true: dict[str, float]
) -> dict[str, NDArray[np.float64]]:
    common = random.normal(0, SLICE / np.sqrt(2), (blocks, number))
    return {
        arm: effect
        + common
        + random.normal(0, SLICE / np.sqrt(2), (blocks, number))
        + random.normal(0, SLICED_START, (blocks, 1))
        for arm, effect in {BASE: 0.0, **true}.items()
    }


def test_a_canary_of_3_percent_is_found_in_sliced_cost_trials() -> None:
    random = np.random.default_rng(4)
    true = {TWIN: 0.0, CANARY: np.log(1.03)}
    setup = experiment((), kind="rotation")
    found = []
    for _ in range(200):
        made = rounds(slices(random, BLOCKS, ROUNDS, true))
        rows = {row["arm"]: row for row in verdict.of(setup, made, {})["comparisons"]}
        found.append((rows[TWIN]["verdict"], rows[CANARY]["verdict"]))
    assert share(canary == "slower" for _, canary in found) >= 0.95
    assert share(twin == "equivalent" for twin, _ in found) >= 0.95


def test_as_many_slices_of_one_start_would_call_a_twin_different() -> None:
    random = np.random.default_rng(5)
    wrong = []
    for _ in range(300):
        logs = slices(random, 1, BLOCKS * ROUNDS, {TWIN: 0.0})
        one = estimate.over_blocks(list((logs[TWIN] - logs[BASE])[0]))
        wrong.append(not one.low <= 1 <= one.high)
    assert share(iter(wrong)) >= 0.20, "without noise between starts this would not test blocks"


def trusted(doses: tuple[int, int], added: tuple[float, float], tails: float) -> float:
    """How often a run is trusted whose canaries promise *doses* µs and add *added*."""
    names = [f"burn_{dose}" for dose in doses]
    plain = experiment()
    arms = [arm for arm in plain.arms if arm.role != "canary"]
    arms += [ArmSpec(name, against=BASE, role="canary", dose=name) for name in names]
    setup = replace(plain, arms=tuple(arms))
    costs = {name: float(np.log1p(more / COST)) for name, more in zip(names, added, strict=True)}
    true = {"new": 0.1, TWIN: 0.0, **costs}
    return share(
        verdict.of(setup, figures(logs), {})["trustworthy"] for logs in runs(9, 100, tails, true)
    )


def test_doses_of_5_and_10_percent_are_found_as_large_as_they_are(tails: float) -> None:
    assert trusted((25, 50), (25, 50), tails) >= 0.85


def test_a_canary_that_costs_a_third_of_its_promise_is_not_trusted(tails: float) -> None:
    assert trusted((25, 50), (8, 16), tails) <= 0.05


def test_40_microseconds_of_a_view_of_5_ms_are_too_few(tails: float) -> None:
    """The same share of 500 µs. That is why a dose may be a share of the request."""
    assert trusted((4, 8), (4, 8), tails) <= 0.5
