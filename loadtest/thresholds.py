"""What a run must keep to, and the judgement on one that is over.

| profile | errors | refused | p95 | requests |
|---|---|---|---|---|
| smoke | 0 % | 5 % | 1000 ms | at least one |
| steady | 0.1 % | 5 % | 500 ms | at least one |
| ramp | 0.5 % | 5 % | 1000 ms | at least one |
| spike | 1 % | 5 % | 2000 ms | at least one |
| soak | 0.01 % | 1 % | 1000 ms | 200,000 |

An *error* is a wrong status, a wrong body, no answer, or a 503. *Refused* is a 429: the server kept
a limit of its own and the client obeyed, which is neither a fault nor a success. The p95 leaves out
refused and failed-to-connect requests, which are fast for the wrong reason. In every profile one
identity leak breaks the run, and so does a run in which nobody's identity was ever checked.
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
    """One threshold after the run: *found* and *limit* as they are shown."""

    name: str
    found: str
    limit: str
    kept: bool


def judge(summary: dict[str, Any], limits: Limits, requests: int = 0) -> list[Rule]:
    """Hold *summary* (recording.summary) to *limits*; *requests* is the least number to be made.

    A run that was stopped by hand is not held to the number of requests.
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
