"""What an experiment compares: the description of an arm, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# As `make reload` does it; uWSGI's own chain reload, one worker after the other.
ReloadMode = Literal["shipped", "chain"]


@dataclass(frozen=True)
class LoginForm:
    """A log-in by form. ``{n}`` in a value stands for the number of the user, from 1.

    page: where the form is, and where it is sent to. users: the accounts, each with a session.
    """

    page: str
    form: Mapping[str, str]
    users: int = 1


@dataclass(frozen=True)
class ArmSpec:
    """A server with its STACK_* settings, and the client that the load comes from."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    server: str = "uwsgi"
    # None: log in with the demo account; "none": send no cookie; "/x": GET that path and keep its
    # cookie; a form: log in with it.
    login: str | LoginForm | None = None
    against: str = ""  # the arm that it is compared with; "" for the baseline itself
    role: Literal["arm", "twin", "canary"] = "arm"
    how: ReloadMode | None = None  # it reloads so, instead of as the load says
    ini: tuple[str, ...] = ()  # lines at the end of its uwsgi.ini
    dose: str = ""  # of a canary, see lab.plan.canary
    path: str | None = None  # requested instead of the load's path
    expect: str | None = None  # a substring of the body, instead of the load's
    # Any of these gives the arm a copy of the repository (lab.measure.trees): a commit, "." for the
    # working tree; units of the template that it leaves out; the app's variables; directives for
    # nginx; an interpreter; pins of packages.
    ref: str = ""
    without: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    nginx: str = ""
    python: str = ""
    requirements: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()  # shell commands after its start, in the app's environment

    @property
    def has_own_tree(self) -> bool:
        own = (self.ref, self.without, self.env, self.nginx, self.python, self.requirements)
        return any(own)
