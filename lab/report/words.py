"""Verdicts, times and axes as text, the same in the page, the Markdown and the pictures."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.judge.comparison import Comparison
from lab.judge.numbers import NONE
from lab.trial import METRICS

# Memory and counts are not "faster".
_OF_AMOUNTS = {"faster": "less", "slower": "more"}


def verdict(one: Comparison, trustworthy: bool = True) -> str:
    """The verdict, with less and more instead of faster and slower for memory and counts.

    In brackets in an untrustworthy run.
    """
    word = str(one.verdict)
    word = _OF_AMOUNTS.get(word, word) if one.unit in ("", "MB") else word
    return word if trustworthy else f"({word})"


def verdict_in_full(one: Comparison, trustworthy: bool = True) -> str:
    """The verdict, and what would settle it."""
    settle = f" ({one.blocks_needed} blocks would settle it)" if one.blocks_needed else ""
    mark = "" if one.controlled or one.role != "arm" else ", not controlled"
    return verdict(one, trustworthy) + settle + mark


def p_value(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def moment(text: object) -> str:
    """2026-11-21 08:00:05 UTC, from ISO 8601."""
    return f"{datetime.fromisoformat(str(text)).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def label(metric: str) -> str:
    return METRICS[metric].label


def heading(metric: str, load: str) -> str:
    """Wake-ups per request, one client."""
    text = label(metric)
    return f"{text[0].upper()}{text[1:]}, {load}"


def axis(metric: str) -> str:
    """The label with the unit."""
    found = METRICS[metric]
    return f"{found.label}, {found.unit}" if found.unit else found.label
