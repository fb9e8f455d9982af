"""A row of bench.json: met by luck is not met, and what must not happen is judged by its worst."""

import pytest

from lab.bench.__main__ import BUDGETS, Row
from lab.judge.estimate import Ratio


def test_the_whole_interval_must_keep_the_budget() -> None:
    budget = BUDGETS["stack-vs-granian"][0]
    assert Row.of("stack-vs-granian", Ratio(budget - 0.1, budget - 0.2, budget, 6)).met
    assert not Row.of("stack-vs-granian", Ratio(budget - 0.1, budget - 0.2, budget + 0.01, 6)).met


def test_a_figure_has_its_unit_and_an_interval_over_blocks() -> None:
    row = Row.of_figures("extra-pss-per-worker", [7.0, 8.0, 9.0])
    assert (row.unit, row.budget, row.n, row.worst) == ("MB", 10, 3, False)
    assert row.low < 7.9 < row.ratio < 8.0 < row.high
    assert row.met is (row.high <= 10)


def test_one_long_stall_among_short_ones_is_not_met() -> None:
    row = Row.of_figures("chain-reload-stall", [20.0, 300.0, 30.0])
    assert (row.ratio, row.low, row.high, row.unit) == (300, 20, 300, "ms")
    assert row.worst
    assert not row.met


@pytest.mark.parametrize(("failed", "met"), [([0, 0, 0], True), ([0, 1, 0], False)])
def test_no_request_may_fail(failed: list[float], met: bool) -> None:
    assert Row.of_figures("chain-reload-failed", failed).met is met
