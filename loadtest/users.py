"""The users: visitors, and members with an account of their own.

`weight` is a class's share of the users, `profiles` (see client.py) the runs that it takes part in,
and `tasks` how often it does what. posts.py adds the users of the demo's notice board.

Put your own users here or into a file beside this one, and import them in locustfile.py.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import wraps
from time import monotonic
from typing import Any

from loadtest import pages
from loadtest.client import REDIRECT, Check, Response, StackUser
from loadtest.identity import Account, check_whoami, ledger
from loadtest.login_queue import login_queue

queue = login_queue(os.environ)

# Members stay logged in while the next login would have to wait longer than this.
SHORT_QUEUE_SECONDS = 5.0

Task = Callable[[Any], None]


def weighted(weights: Mapping[Task, int]) -> list[Any]:
    """Each task as often as its weight says: Locust picks one from the list at random."""
    return [task for task, weight in weights.items() for _ in range(weight)]


class VisitorTasks(StackUser):
    """Pages that need no account."""

    abstract = True

    def front_page(self) -> None:
        page = self.fetch("GET", "/", check=self.check_identity)
        for path in pages.assets(page.text, self.prefix) if page else ():
            self.fetch("GET", path, name="/static/…", check=_sets_no_cookie)

    def login_page(self) -> None:
        if self.expected_account is None:  # the app redirects a member who opens it
            self.fetch("GET", "/auth/login", check=self.check_identity)

    def version(self) -> None:
        self.fetch("GET", "/version", accept="application/json")


def needs_login(task: Task) -> Task:
    """Log in instead of running *task* if the user has no session."""

    @wraps(task)
    def task_or_login(self: MemberTasks) -> None:
        if self.logged_in:
            task(self)
        else:
            self.log_in()

    return task_or_login


class MemberTasks(VisitorTasks):
    """Pages behind the login. Every response must belong to the account that asked for it."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.account = Account()
        self.logged_in = False
        self.login_time: float | None = None

    @property
    def expected_account(self) -> Account | None:
        return self.account if self.logged_in else None

    def on_stop(self) -> None:
        if self.logged_in:
            self.log_out()

    @needs_login
    def whoami(self) -> None:
        self.fetch("GET", "/auth/whoami", check=self._check_whoami, accept="application/json")

    @needs_login
    def home(self) -> None:
        self.get_page("/home")

    @needs_login
    def leave(self) -> None:
        """Log out, unless many wait to log in."""
        if queue.wait_seconds() < SHORT_QUEUE_SECONDS:
            self.log_out()

    def log_in(self) -> None:
        """Log in, or register the first time, once it is this user's turn."""
        if self.login_time is None:
            self.login_time = queue.reserve()
        if self.login_time > monotonic():
            self.wait_for_login(self.login_time)
            return
        self.login_time = None
        path = "/auth/login" if self.account.registered else "/auth/register"
        form = self.get_form(path, {"name": self.account.name})
        if not form:
            return
        with queue.one_password():
            response = self.fetch("POST", path, expect=REDIRECT, form=form)
        if not response:
            return
        new = not self.account.registered
        self.account.registered = True
        if new and "/auth/login" in response.headers.get("Location", ""):
            return  # this app does not log new accounts in
        self.logged_in = True
        self.whoami()

    def wait_for_login(self, _login_time: float) -> None:
        """Browse as a visitor until the time of the login."""
        self.front_page()

    def log_out(self) -> None:
        """Log out, and check that the session has ended."""
        if self.submit("/auth/logout"):
            self.logged_in = False
            self.fetch(
                "GET",
                "/auth/whoami",
                name="/auth/whoami after logout",
                expect=(401,),
                accept="application/json",
            )

    def get_page(
        self, path: str, *, name: str | None = None, check: Check | None = None
    ) -> Response | None:
        """GET a page and check whose it is. Return None if it is wrong."""

        def checks(page: Response) -> str | None:
            return self.check_identity(page) or (check(page) if check else None)

        return self.fetch("GET", path, name=name, check=checks)

    def get_form(
        self,
        path: str,
        fields: dict[str, str],
        *,
        name: str | None = None,
        check: Check | None = None,
    ) -> dict[str, str] | None:
        """GET the page whose form has *fields*; return the form as filled in, or None."""
        filled: dict[str, str] = {}

        def has_form(page: Response) -> str | None:
            try:
                filled.update(pages.fill(page.text, fields, password=self.account.password))
            except pages.FormError as error:
                return str(error)
            return check(page) if check else None

        return filled if self.get_page(path, name=name, check=has_form) else None

    def submit(self, path: str, *, name: str | None = None) -> Response | None:
        """POST a form that consists of a button, with the token of the page behind the login."""
        page = self.get_page("/home")
        if page is None:
            return None
        form = {"csrf_token": pages.csrf_token(page.text) or ""}
        return self.fetch("POST", path, name=name, expect=REDIRECT, form=form)

    def unexpected_status(self, response: Any, expect: Any) -> str:
        location = response.headers.get("Location", "")
        if self.logged_in and (response.status_code == 401 or "/auth/login" in location):
            self.logged_in = False
            return "session lost"
        return super().unexpected_status(response, expect)

    def _check_whoami(self, response: Response) -> str | None:
        ledger.checks += 1
        try:
            return check_whoami(self.account, json.loads(response.text))
        except (ValueError, AttributeError):
            return "not a JSON object"


class Visitor(VisitorTasks):
    """Reads the public pages and never logs in."""

    profiles = ("smoke", "steady", "ramp", "spike")
    weight = 5
    tasks = weighted(
        {VisitorTasks.front_page: 4, VisitorTasks.login_page: 1, VisitorTasks.version: 1}
    )


class Member(MemberTasks):
    """Logs in, uses the pages behind the login, logs out and logs in again."""

    weight = 3
    tasks = weighted(
        {
            MemberTasks.front_page: 2,
            MemberTasks.home: 4,
            MemberTasks.whoami: 5,
            MemberTasks.leave: 1,
        }
    )


class Walkthrough(MemberTasks):
    """Does everything once, in order, and starts again: a short run leaves nothing out."""

    profiles = ("smoke",)
    weight = 5

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.front_page,
            self.login_page,
            self.version,
            self.whoami,
            self.home,
            self.log_out,
        ]

    def walk(self) -> None:
        for step in self.steps():
            step()
            self.wait()

    tasks = weighted({walk: 1})


class SoakMember(MemberTasks):
    """A member without think time that mostly calls whoami: the most checks per CPU second."""

    profiles = ("soak",)
    think_seconds = (0.0, 0.0)
    tasks = weighted({MemberTasks.whoami: 90, MemberTasks.home: 9, MemberTasks.leave: 1})

    def wait_for_login(self, login_time: float) -> None:
        self.paused_until = max(self.paused_until, login_time)


def _sets_no_cookie(response: Response) -> str | None:
    # Caches keep static files: a cookie on one would hand a session to everybody.
    return "a static file sets a cookie" if "Set-Cookie" in response.headers else None
