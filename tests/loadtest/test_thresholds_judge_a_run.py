"""Each threshold alone fails a run, and a run without data fails."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest.profiles import PROFILES, judge

GOOD: dict[str, Any] = {
    "requests": 1000,
    "errors": 10,
    "refused": 50,
    "leaks": 0,
    "identity_checks": 400,
    "p95_ms": 300,
}
LIMITS = replace(PROFILES["smoke"], errors_percent=1, refused_percent=5, p95_ms=300)


def broken(least: int = 0, interrupted: bool = False, **changes: Any) -> list[str]:
    limits = replace(LIMITS, requests=least)
    rules = judge({**GOOD, **changes}, limits, interrupted=interrupted)
    return [rule.name for rule in rules if not rule.kept]


def test_a_run_at_its_limits_is_kept() -> None:
    assert broken() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"errors": 11}, "errors"),
        ({"refused": 51}, "refused"),
        ({"p95_ms": 301}, "p95"),
        ({"leaks": 1}, "identity leaks"),
        ({"identity_checks": 0}, "identity checks"),
    ],
)
def test_one_step_beyond_a_limit_fails(change: dict[str, Any], rule: str) -> None:
    assert broken(**change) == [rule]


def test_a_run_without_data_fails() -> None:
    nothing = {"requests": 0, "errors": 0, "refused": 0, "p95_ms": 0, "identity_checks": 0}
    assert broken(**nothing) == ["requests", "identity checks"]


def test_too_few_requests_fail_unless_the_run_was_interrupted() -> None:
    assert broken(least=1001) == ["requests"]
    assert broken(least=1001, interrupted=True) == []
