"""How many users there are at each moment of a profile, as Locust's LoadTestShape classes.

All are closed loops: a user waits for the response and then for its think time. The requests per
second therefore follow from the number of users, not from what the server can do. The lab's
open-loop schedule answers that question.
"""

# mypy: allow-untyped-calls
# (Locust is marked as typed but leaves many functions without annotations.)
from __future__ import annotations

import os
from collections.abc import Mapping

from locust import LoadTestShape

from loadtest import profiles


class ProfileShape(LoadTestShape):
    """Ends the run at the profile's limit of time or of requests."""

    abstract = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.profile = profiles.read(name, os.environ)
        self.completed = False
        self.stopped = False

    def user_count(self, progress: float) -> int:  # noqa: ARG002, for the subclasses
        """The number of users after *progress* (0 to 1) of the time."""
        return self.profile.users

    def tick(self) -> tuple[int, float] | None:
        if self.stopped:
            return None
        elapsed = self.get_run_time()
        made = int(self.runner.stats.num_requests) if self.runner else 0
        enough = self.profile.requests and made >= self.profile.requests
        if elapsed >= self.profile.seconds or enough:
            self.completed = True
            return None
        return max(1, self.user_count(elapsed / self.profile.seconds)), self.profile.rate

    def stop(self) -> None:
        """End the run at the next tick."""
        self.stopped = True


class Constant(ProfileShape):
    """The same number of users all the time."""


class Ramp(ProfileShape):
    """Five equal steps; each lasts long enough for the latency to settle."""

    def user_count(self, progress: float) -> int:
        return round(self.profile.users * (int(progress * 5) + 1) / 5)


class Spike(ProfileShape):
    """An eighth of the users, then all of them at once, then an eighth again for the recovery."""

    def user_count(self, progress: float) -> int:
        peak = 1 / 3 <= progress < 2 / 3
        return self.profile.users if peak else self.profile.users // 8


SHAPES: Mapping[str, type[ProfileShape]] = {
    "smoke": Constant,
    "steady": Constant,
    "ramp": Ramp,
    "spike": Spike,
    "soak": Constant,
}
