"""Numbers as text, the same in the answer, the terminal, the report and its pictures."""

from __future__ import annotations

import math

NONE = "—"


def number(value: float | None) -> str:
    """At least three significant digits, never an exponent: 0.0123, 41.0, 1,335."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def signed(value: float) -> str:
    """+41.2, -0.3: a difference."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"


def with_unit(value: float | None, unit: str) -> str:
    """540 µs, 2,313/s."""
    if value is None:
        return NONE
    return (
        f"{number(value)}{unit[1:]}" if unit.startswith("1/") else f"{number(value)} {unit}".strip()
    )


def ratio(value: float | None) -> str:
    """Three decimals below 10: 1.047, 0.015, 15.6."""
    if value is None:
        return NONE
    return f"{value:.3f}" if abs(value) < 10 else number(value)


def interval(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"[{ratio(low)}, {ratio(high)}]"
