"""The size of each profile, for a machine with two cores that also runs the stack.

Every figure can be set in the environment as ``<PROFILE>_<FIGURE>``: ``SPIKE_USERS=200``,
``SOAK_REQUESTS=50000``. This module does not import Locust, which patches the interpreter's sockets
and threads, so the command line can check a profile before Locust is installed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loadtest.thresholds import LIMITS, Limits


class ProfileError(ValueError):
    """An unknown profile or figure, or an invalid value. The text lists what is allowed."""


@dataclass(frozen=True)
class Profile:
    """*users* at the peak, *rate* of them started a second. Ends after *seconds*, or earlier after
    *requests* (0: no limit).
    """

    name: str
    meaning: str
    users: int
    rate: float
    seconds: float
    limits: Limits
    requests: int = 0


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("smoke", "does everything work?", 4, 2, 20, LIMITS["smoke"]),
        Profile("steady", "an ordinary minute", 20, 2, 60, LIMITS["steady"]),
        Profile("ramp", "five steps up to the peak", 50, 5, 100, LIMITS["ramp"]),
        Profile("spike", "few users, eight times as many, few again", 80, 40, 60, LIMITS["spike"]),
        # 32 users without think time keep 4 workers x 8 threads busy.
        Profile(
            "soak",
            "no think time, every response checked",
            32,
            2,
            900,
            LIMITS["soak"],
            requests=200_000,
        ),
    )
}

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
        key.removeprefix(prefix): _figure(key, key.removeprefix(prefix), text)
        for key, text in environ.items()
        if key.startswith(prefix)
    }
    profile = PROFILES[name]
    limits = replace(
        profile.limits,
        p95_ms=figures.get("P95_MS", profile.limits.p95_ms),
        errors=figures.get("ERRORS_PERCENT", profile.limits.errors * 100) / 100,
        refused=figures.get("REFUSED_PERCENT", profile.limits.refused * 100) / 100,
    )
    return replace(
        profile,
        limits=limits,
        users=int(figures.get("USERS", profile.users)),
        rate=figures.get("RATE", profile.rate),
        seconds=figures.get("SECONDS", profile.seconds),
        requests=int(figures.get("REQUESTS", profile.requests)),
    )


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
    return float(text)
