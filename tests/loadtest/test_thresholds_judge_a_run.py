"""Each threshold alone fails a run, and a run without data fails."""

from typing import Any

import pytest

from loadtest.profiles import PROFILES
from loadtest.thresholds import LIMITS, Limits, judge
from loadtest.thresholds import __doc__ as table

GOOD: dict[str, Any] = {
    "interrupted": False,
    "requests": 1000,
    "errors": 10,
    "refused": 50,
    "leaks": 0,
    "identity_checks": 400,
    "p95_ms": 300.0,
}
LIMIT = Limits(errors=0.01, refused=0.05, p95_ms=300)


def broken(least: int = 0, **changes: Any) -> list[str]:
    return [rule.name for rule in judge({**GOOD, **changes}, LIMIT, least) if not rule.kept]


def test_a_run_at_its_limits_is_kept() -> None:
    assert broken() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"errors": 11}, "errors"),
        ({"refused": 51}, "refused (429)"),
        ({"p95_ms": 300.1}, "p95"),
        ({"leaks": 1}, "identity leaks"),
        ({"identity_checks": 0}, "identity checks"),
    ],
)
def test_one_step_beyond_a_limit_fails(change: dict[str, Any], rule: str) -> None:
    assert broken(**change) == [rule]


def test_a_run_without_data_fails() -> None:
    nothing = {"requests": 0, "errors": 0, "refused": 0, "p95_ms": None, "identity_checks": 0}
    assert broken(**nothing) == ["requests", "p95", "identity checks"]


def test_too_few_requests_fail_unless_the_run_was_interrupted() -> None:
    assert broken(least=1001) == ["requests"]
    assert broken(least=1001, interrupted=True) == []


def test_the_table_in_the_docstring_states_the_limits() -> None:
    assert table
    rows = {
        cells[0]: cells[1:]
        for line in table.splitlines()
        if line.startswith("|") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    assert LIMITS.keys() == PROFILES.keys()
    for name, limits in LIMITS.items():
        requests = PROFILES[name].requests
        assert rows[name] == [
            f"{100 * limits.errors:.3g} %",
            f"{100 * limits.refused:.3g} %",
            f"{limits.p95_ms:.0f} ms",
            f"{requests:,}" if requests else "at least one",
        ]
