"""The thresholds of each profile, and the judgement of a finished run.

| profile | errors | refused | p95 | requests |
|---|---|---|---|---|
| smoke | 0 % | 5 % | 1000 ms | at least one |
| steady | 0.1 % | 5 % | 500 ms | at least one |
| ramp | 0.5 % | 5 % | 1000 ms | at least one |
| spike | 1 % | 5 % | 2000 ms | at least one |
| soak | 0.01 % | 1 % | 1000 ms | 200,000 |

An *error* is a wrong status, a wrong body, no answer, or a 503. *Refused* is a 429: the server
applied a limit and the client obeyed. The p95 is that of successful requests only, because refused
ones are fast. In every profile the run fails with one identity leak, and without an identity check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Upper bounds. Shares are between 0 and 1."""

    errors: float
    refused: float
    p95_ms: float


LIMITS = {
    "smoke": Limits(errors=0.0, refused=0.05, p95_ms=1000),
    "steady": Limits(errors=0.001, refused=0.05, p95_ms=500),
    "ramp": Limits(errors=0.005, refused=0.05, p95_ms=1000),
    "spike": Limits(errors=0.01, refused=0.05, p95_ms=2000),
    "soak": Limits(errors=0.0001, refused=0.01, p95_ms=1000),
}


@dataclass(frozen=True)
class Rule:
    """One threshold after the run; *found* and *limit* are formatted for people."""

    name: str
    found: str
    limit: str
    kept: bool


def judge(summary: dict[str, Any], limits: Limits, requests: int = 0) -> list[Rule]:
    """Compare *summary* (recording.summary) with *limits* and the minimum of *requests*.

    The minimum does not apply to an interrupted run.
    """
    made = summary["requests"]
    least = 1 if summary["interrupted"] else max(requests, 1)
    errors = summary["errors"] / made if made else 0.0
    refused = summary["refused"] / made if made else 0.0
    p95 = summary["p95_ms"]
    return [
        Rule("requests", f"{made:,}", f"≥ {least:,}", made >= least),
        Rule("errors", _percent(errors), f"≤ {_percent(limits.errors)}", errors <= limits.errors),
        Rule(
            "refused (429)",
            _percent(refused),
            f"≤ {_percent(limits.refused)}",
            refused <= limits.refused,
        ),
        Rule(
            "p95",
            "no answer" if p95 is None else f"{p95:,.1f} ms",
            f"≤ {limits.p95_ms:,.0f} ms",
            p95 is not None and p95 <= limits.p95_ms,
        ),
        Rule("identity leaks", f"{summary['leaks']:,}", "0", summary["leaks"] == 0),
        Rule(
            "identity checks",
            f"{summary['identity_checks']:,}",
            "≥ 1",
            summary["identity_checks"] >= 1,
        ),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
