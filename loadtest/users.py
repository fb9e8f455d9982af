"""Who uses the stack: visitors, members, those who are first the one and then the other.

``weight`` is a class's share of the crowd, ``tasks`` how often it does what. The steps themselves
are in behaviours.py.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadtest.behaviours import Belonging, Visiting

Step = Callable[[Any], None]


def mix(weights: Mapping[Step, int]) -> list[Any]:
    """Each step as often as its weight says: Locust picks from the list at random."""
    return [step for step, weight in weights.items() for _ in range(weight)]


class Visitor(Visiting):
    """Reads the public pages and never logs in."""

    weight = 5
    tasks = mix({Visiting.front_page: 4, Visiting.look_at_login: 1, Visiting.version: 1})


class Member(Belonging):
    """Logs in, reads, writes, edits, logs out and logs in again."""

    weight = 3
    tasks = mix(
        {
            Belonging.who_am_i: 6,
            Belonging.read_posts: 6,
            Belonging.write_post: 2,
            Belonging.edit_post: 1,
            Belonging.leave: 1,
        }
    )


class Mixed(Belonging, Visiting):
    """Looks around until it is its turn to log in, is a member, and is a visitor again."""

    weight = 2
    tasks = mix(
        {
            Visiting.front_page: 4,
            Visiting.look_at_login: 1,
            Belonging.who_am_i: 3,
            Belonging.read_posts: 3,
            Belonging.write_post: 1,
            Belonging.leave: 1,
        }
    )

    def wait_for_turn(self) -> None:
        self.front_page()


class Walker(Belonging, Visiting):
    """Does everything there is once, in order, and begins again: nothing is left to chance."""

    weight = 5

    def walk(self) -> None:
        for step in (
            self.front_page,
            self.look_at_login,
            self.version,
            self.who_am_i,
            self.write_post,
            self.read_posts,
            self.edit_post,
            self.log_out,
        ):
            step()
            self.wait()

    tasks = mix({walk: 1})


class Soaker(Belonging):
    """A member without think time who mostly asks who it is: the most checks for the CPU spent."""

    weight = 0.001  # comes with the shape Soak, and not into the mix on Locust's page
    think = (0.0, 0.0)
    tasks = mix(
        {
            Belonging.who_am_i: 86,
            Belonging.read_posts: 6,
            Belonging.write_post: 2,
            Belonging.edit_post: 1,
            Belonging.leave: 1,
        }
    )
