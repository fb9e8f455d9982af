"""The size, shape and thresholds of each profile, for two cores that also run the stack.

Every figure can be set in the environment as ``<PROFILE>_<FIGURE>``: ``SPIKE_USERS=200``,
``SOAK_REQUESTS=50000``. This module does not import Locust, so the command line can check a profile
before Locust is installed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import NamedTuple


class ProfileError(ValueError):
    """An unknown profile or figure, or an invalid value. The text lists what is allowed."""


def constant(_progress: float) -> float:
    """All users, all the time."""
    return 1.0


def ramp(progress: float) -> float:
    """Five equal steps; each lasts long enough for the latency to settle."""
    return (int(progress * 5) + 1) / 5


def spike(progress: float) -> float:
    """An eighth of the users, then all of them at once, then an eighth again for the recovery."""
    return 1.0 if 1 / 3 <= progress < 2 / 3 else 1 / 8


@dataclass(frozen=True)
class Profile:
    """A run and its thresholds.

    *users* is the peak, *rate* how many of them start a second, *shape* the share of them at each
    moment (both from 0 to 1). The run ends after *seconds*, or earlier after *requests* (0: no
    limit); it fails with fewer. An error is a wrong status, a wrong body, no answer, or a 503. A
    429 is *refused*: the server applied a limit and the client obeyed. The p95 leaves refused
    requests out, because they are fast.
    """

    name: str
    meaning: str
    users: int
    rate: float
    seconds: float
    _: KW_ONLY
    shape: Callable[[float], float] = constant
    requests: int = 0
    errors_percent: float
    refused_percent: float = 5
    p95_ms: float = 1000


# Without think time, the 32 users of soak keep 4 workers x 8 threads busy.
_ALL = (
    Profile("smoke", "does everything work?", 4, 2, 20, errors_percent=0),
    Profile("steady", "an ordinary minute", 20, 2, 60, errors_percent=0.1, p95_ms=500),
    Profile("ramp", "five steps up to the peak", 50, 5, 100, shape=ramp, errors_percent=0.5),
    Profile(
        *("spike", "few users, eight times as many, few again", 80, 40, 60),
        shape=spike,
        errors_percent=1,
        p95_ms=2000,
    ),
    Profile(
        *("soak", "no think time, every response checked", 32, 2, 900),
        requests=200_000,
        errors_percent=0.01,
        refused_percent=1,
    ),
)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}
# Locust's page, where no profile is chosen, has the users of this one.
OF_THE_PAGE = "steady"
FIGURES = ("USERS", "RATE", "SECONDS", "REQUESTS", "P95_MS", "ERRORS_PERCENT", "REFUSED_PERCENT")


def read(name: str, environ: Mapping[str, str]) -> Profile:
    """Return the profile *name* with the figures that *environ* sets. Raises ProfileError."""
    if name not in PROFILES:
        known = "\n".join(f"  {p.name:<8}{p.meaning}" for p in PROFILES.values())
        near = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f", did you mean {near[0]}?" if near else "."
        raise ProfileError(f"there is no profile {name!r}{hint} Profiles:\n{known}")
    prefix = f"{name.upper()}_"
    figures = {
        key.removeprefix(prefix).lower(): _figure(key, key.removeprefix(prefix), text)
        for key, text in environ.items()
        if key.startswith(prefix)
    }
    return replace(PROFILES[name], **figures)  # type: ignore[arg-type]


def _figure(key: str, figure: str, text: str) -> float:
    if figure not in FIGURES:
        prefix = key.removesuffix(figure)
        near = difflib.get_close_matches(figure, FIGURES, n=1)
        hint = f"did you mean {prefix}{near[0]}?" if near else f"figures: {', '.join(FIGURES)}"
        raise ProfileError(f"{key}: no such figure; {hint}")
    whole = figure in {"USERS", "REQUESTS"}
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,6})?"
    zero_allowed = figure in {"REQUESTS", "ERRORS_PERCENT", "REFUSED_PERCENT"}
    if not re.fullmatch(pattern, text) or (float(text) == 0 and not zero_allowed):
        kind = "a whole number" if whole else "a number"
        raise ProfileError(f"{key}={text!r}: must be {kind} above 0" + " or 0" * zero_allowed)
    return int(text) if whole else float(text)


class Rule(NamedTuple):
    """One threshold after the run; *found* and *limit* are formatted for people."""

    name: str
    found: str
    limit: str
    kept: bool


def judge(
    result: Mapping[str, float],
    profile: Profile,
    *,
    interrupted: bool,
    workers: tuple[int, int] | None = None,
) -> list[Rule]:
    """Compare *result* (headless.totals) with the thresholds of *profile*.

    The minimum of requests does not apply to an interrupted run. *workers* are how many there were
    all the time, and how many were asked for. Every run fails with an identity leak, and without an
    identity check.
    """
    made = result["requests"]
    least = 1 if interrupted else max(profile.requests, 1)
    rules = [Rule("requests", f"{made:,}", f"≥ {least:,}", made >= least)]
    for name, limit in (("errors", profile.errors_percent), ("refused", profile.refused_percent)):
        percent = 100 * result[name] / made if made else 0.0
        rules.append(Rule(name, f"{percent:.3g} %", f"≤ {limit:.3g} %", percent <= limit))
    if workers:
        rules.append(Rule("workers", str(workers[0]), f"≥ {workers[1]}", workers[0] >= workers[1]))
    p95, leaks, checks = result["p95_ms"], result["leaks"], result["identity_checks"]
    return [
        *rules,
        Rule("p95", f"{p95:,.0f} ms", f"≤ {profile.p95_ms:,.0f} ms", p95 <= profile.p95_ms),
        Rule("identity leaks", f"{leaks:,}", "0", leaks == 0),
        Rule("identity checks", f"{checks:,}", "≥ 1", checks >= 1),
    ]
