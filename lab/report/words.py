"""Numbers as people read them: the same text in the pictures, the page and the Markdown."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.report.data import Comparison
from lab.trial import METRICS

# A sign beside each word, so that nothing is told by a colour alone.
SIGNS = {
    "faster": "▲",
    "slower": "▼",
    "equivalent": "≈",
    "inconclusive": "?",
    "void": "✕",
}


def number(value: float | None, digits: int = 3) -> str:
    """At least *digits* significant digits, never an exponent: 0.0123, 1.05, 15.6, 20100."""
    if value is None:
        return "—"
    if value == 0:
        return "0"
    size = abs(value)
    places = digits
    while size >= 1 and places > 0:
        size /= 10
        places -= 1
    if abs(value) < 1:
        size = abs(value)
        while size < 0.1 and places < 8:
            size *= 10
            places += 1
    return f"{value:.{places}f}"


def ratio(value: float | None) -> str:
    """Three decimals around one, where they matter: 1.047, 0.983, 15.62."""
    if value is None:
        return "—"
    return f"{value:.3f}" if value < 10 else number(value, 4)


def interval(one: Comparison) -> str:
    if one.low is None or one.high is None:
        return "—"
    return f"[{ratio(one.low)}, {ratio(one.high)}]"


def p_value(value: float | None) -> str:
    if value is None:
        return "—"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(one: Comparison) -> str:
    """The sign, the word, and what would settle it."""
    text = f"{SIGNS.get(one.verdict, '')} {one.verdict}".strip()
    if one.verdict == "inconclusive" and one.blocks_needed:
        text += f" ({one.blocks_needed} blocks would settle it)"
    return text


def moment(text: object) -> str:
    """2026-11-21 08:00:05 UTC, of ISO 8601; anything else stays as it is."""
    try:
        found = datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return str(text)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC"


def with_unit(value: float | None, unit: str) -> str:
    return f"{number(value)} {unit}".strip() if value is not None else "—"


def metric(name: str) -> str:
    """What a metric means, with its unit; the bare name for one that the table does not know."""
    known = METRICS.get(name)
    if known is None:
        return name
    return f"{known.meaning} ({known.unit})" if known.unit else known.meaning


def short(name: str) -> str:
    """A metric's name as people say it."""
    names = {
        "cpu_us": "CPU a request",
        "cpu_us_nginx": "CPU a request, nginx",
        "cpu_us_app": "CPU a request, app",
        "cpu_us_redis": "CPU a request, Redis",
        "wakeups": "wake-ups a request",
        "preemptions": "preemptions a request",
        "eagain": "accepts in vain a request",
        "redis_commands": "Redis commands a request",
        "balance": "imbalance between workers",
        "pss_mb": "memory after the load (PSS)",
        "uss_mb": "private memory after the load (USS)",
        "start_pss_mb": "memory at the start (PSS)",
        "start_uss_mb": "private memory at the start (USS)",
        "rps": "requests a second",
        "p50_ms": "median response",
        "p95_ms": "95th percentile of the response",
        "p99_ms": "99th percentile of the response",
        "service_p50_ms": "median service time",
        "service_p95_ms": "95th percentile of the service time",
        "service_p99_ms": "99th percentile of the service time",
        "start_s": "start-up time",
        "reload_s": "reload time",
        "stall_ms": "longest stall in a reload",
        "failed": "failed requests",
    }
    return names.get(name, name)


def axis(name: str) -> str:
    """The label of an axis: name and unit."""
    known = METRICS.get(name)
    return f"{short(name)}, {known.unit}" if known and known.unit else short(name)
