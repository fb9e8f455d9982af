"""How many users there are at each moment of a profile, as Locust's LoadTestShape classes.

All are closed loops: a user waits for the answer and then for its think time, so requests per
second tell what the users asked for and never what the server could do. That question needs the
lab's open-loop schedule.
"""

# mypy: allow-untyped-calls
# (Locust says that it is typed and leaves many functions without types.)
from __future__ import annotations

import os
from typing import Any, ClassVar

from locust import LoadTestShape, User

from loadtest import profiles
from loadtest.users import Member, Mixed, Soaker, Visitor, Walker


class ProfileShape(LoadTestShape):
    """Ends the run at the profile's bound of time or of requests; subclasses say who is there."""

    abstract = True
    users: ClassVar[tuple[type[User], ...]] = (Visitor, Member, Mixed)

    def __init__(self) -> None:
        super().__init__()
        self.profile = profiles.read(type(self).__name__.lower(), os.environ)
        self.completed = False
        self.stopped = False  # by hand

    def crowd(self, progress: float) -> int:  # noqa: ARG002, for the subclasses
        """The number of users when that share (0 to 1) of the time is over."""
        return self.profile.users

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        if self.stopped:
            return None
        elapsed, made = self.get_run_time(), self.requests()
        enough = self.profile.requests and made >= self.profile.requests
        if elapsed >= self.profile.seconds or enough:
            self.completed = True
            return None
        crowd = max(1, self.crowd(elapsed / self.profile.seconds))
        return crowd, self.profile.rate, list(self.users)

    def stop(self) -> None:
        """End the run at the next tick, as if its time were over."""
        self.stopped = True

    def requests(self) -> int:
        return int(self.runner.stats.num_requests) if self.runner else 0


class Smoke(ProfileShape):
    """A few users for a few seconds, every kind of request among theirs."""

    users = (Visitor, Walker)


class Steady(ProfileShape):
    """The same crowd all the time."""


class Ramp(ProfileShape):
    """Five equal steps; each lasts long enough for the latency to settle."""

    def crowd(self, progress: float) -> int:
        return round(self.profile.users * (int(progress * 5) + 1) / 5)


class Spike(ProfileShape):
    """An eighth of the crowd, all of it at once, and an eighth again to see the recovery."""

    def crowd(self, progress: float) -> int:
        sudden = 1 / 3 <= progress < 2 / 3
        return self.profile.users if sudden else self.profile.users // 8


class Soak(ProfileShape):
    """Members without think time until the requests are made."""

    users = (Soaker,)


def choose(environment: Any, name: str) -> ProfileShape:
    """Make the shape *name* the one that Locust runs, out of all that the locustfile offers."""
    shape: ProfileShape = environment.available_shape_classes[name.capitalize()]
    shape.runner = environment.runner
    environment.shape_class = shape
    return shape
