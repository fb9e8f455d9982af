"""How much load each profile is, sized for a machine with two cores that also runs the stack.

Every figure can be set from the environment as ``<PROFILE>_<FIGURE>``: ``SPIKE_USERS=200``,
``SOAK_REQUESTS=50000``. Kept apart from shapes.py, which needs Locust: importing Locust patches the
interpreter's sockets and threads, and the command line has no use for that.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loadtest.thresholds import LIMITS, Limits


class ProfileError(ValueError):
    """A profile or a figure that does not exist or cannot be used; the text says what can."""


@dataclass(frozen=True)
class Profile:
    """*users* at the peak, started *rate* a second, for *seconds* or until *requests* (0: no such
    bound), whichever is first.
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
        Profile("smoke", "does everything work at all?", 4, 2, 20, LIMITS["smoke"]),
        Profile("steady", "an ordinary minute", 20, 2, 60, LIMITS["steady"]),
        Profile("ramp", "five steps up to the peak", 50, 5, 100, LIMITS["ramp"]),
        Profile("spike", "calm, eight times as many, calm again", 80, 40, 60, LIMITS["spike"]),
        # Without think time: 32 users keep 4 workers x 8 threads busy, and every answer is checked.
        Profile("soak", "identity under pressure", 32, 2, 900, LIMITS["soak"], requests=200_000),
    )
}

FIGURES = ("USERS", "RATE", "SECONDS", "REQUESTS", "P95_MS", "ERRORS_PERCENT", "REFUSED_PERCENT")


def read(name: str, environ: Mapping[str, str]) -> Profile:
    """Return the profile *name* with what *environ* changes. Raises ProfileError."""
    if name not in PROFILES:
        known = "\n".join(f"  {p.name:<8}{p.meaning}" for p in PROFILES.values())
        near = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise ProfileError(f"there is no profile {name!r}{hint} The profiles are\n{known}")
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
        hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(FIGURES)}"
        raise ProfileError(f"{key}: no such figure; {hint}")
    whole = figure in {"USERS", "REQUESTS"}
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,6})?"
    zero_allowed = figure in {"REQUESTS", "ERRORS_PERCENT", "REFUSED_PERCENT"}
    if not re.fullmatch(pattern, text) or (float(text) == 0 and not zero_allowed):
        kind = "a whole number" if whole else "a number"
        raise ProfileError(f"{key}={text!r}: must be {kind} above 0" + " or 0" * zero_allowed)
    return float(text)
