"""What a user of the stack does, step by step. users.py says who does which of it how often.

A user keeps one connection alive, as a browser does, follows no redirect on its own (each hop is a
request and is counted as one) and believes no answer: status, content and identity are checked.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Callable, Collection
from functools import wraps
from time import monotonic
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode, urlsplit

from locust import FastHttpUser

from loadtest import pages
from loadtest.identity import (
    LEAK,
    Account,
    Accounts,
    IdentityLeak,
    check_head,
    check_post,
    check_whoami,
    ledger,
)
from loadtest.pacing import login_gate

# Longer than nginx's uwsgi_read_timeout (harakiri + 5 s, harakiri at most 60 s): the stack must be
# the one that gives up, or its 504 would look like our timeout.
CLIENT_TIMEOUT_SECONDS = 70.0
# A Retry-After beyond this is kept to this: the run would be over before the user comes back.
LONGEST_PAUSE_SECONDS = 60.0
REDIRECT = (302, 303)
# Nobody logs out while this many seconds of others wait at the login page.
SHORT_QUEUE_SECONDS = 5.0
POSTS_KEPT = 3

accounts = Accounts()
gate = login_gate(os.environ)


class Answer:
    """A response as checks and tasks see it. (Locust's own is false when its body is empty.)"""

    def __init__(self, response: Any) -> None:
        self._response = response

    @property
    def text(self) -> str:
        return str(self._response.text or "")

    @property
    def location(self) -> str:
        return self.header("Location") or ""

    def header(self, name: str) -> str | None:
        value = self._response.headers.get(name)
        return None if value is None else str(value)

    def json(self) -> Any:
        """The parsed body. Raises ValueError."""
        return json.loads(self.text)


# A check returns a complaint about a good status with bad content, or raises IdentityLeak.
Check = Callable[[Answer], "str | None"]
U = TypeVar("U", bound="Belonging")


class StackUser(FastHttpUser):
    """One connection, one cookie jar, and the manners that all users share."""

    abstract = True
    connection_timeout = 10.0
    network_timeout = CLIENT_TIMEOUT_SECONDS
    # One for all that it does; the other to log out with, when it is killed while using the first.
    concurrency = 2
    default_headers = {"User-Agent": "flask-uwsgi-stack loadtest"}  # noqa: RUF012, Locust's way
    think: ClassVar[tuple[float, float]] = (0.5, 1.5)  # seconds between two tasks

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.away_until = 0.0

    @property
    def owner(self) -> Account | None:
        """Whose name every page has to show now; None: nobody's."""
        return None

    def wait_time(self) -> float:
        return max(random.uniform(*self.think), self.away_until - monotonic())  # noqa: S311

    def ask(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Collection[int] = (200,),
        check: Check | None = None,
        form: dict[str, str] | None = None,
        accept: str = "text/html",
    ) -> Answer | None:
        """Make one request. Return the answer if it is what was expected, else None.

        *name* is its row in the statistics. 429 and 503 get rows of their own, count as failures,
        and keep this user away for as long as the server asks.
        """
        headers = {"Accept": accept}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with self.client.request(
            method,
            path,
            name=name or path,
            data=urlencode(form) if form is not None else None,
            headers=headers,
            allow_redirects=False,
            catch_response=True,
        ) as response:
            complaint = self._complaint(response, expect, check)
            if complaint is None:
                response.success()
                return Answer(response)
            response.failure(complaint)
            return None

    def _complaint(
        self, response: Any, expect: Collection[int], check: Check | None
    ) -> str | Exception | None:
        status = response.status_code
        if status == 0:  # no answer at all; Locust holds the reason
            return response.error or "no answer"
        if status in {429, 503} and status not in expect:
            return self._obey(response)
        if status not in expect:
            return self.unexpected(response, expect)
        try:
            return check(Answer(response)) if check else None
        except IdentityLeak as leak:
            ledger.leaks.append(
                {
                    "request": f"{response.request_meta['request_type']} {response.url}",
                    "request_id": response.headers.get("X-Request-ID"),
                    "expected": leak.expected,
                    "found": leak.found,
                }
            )
            return LEAK

    def _obey(self, response: Any) -> str:
        """Stay away for as long as the answer asks, and give it a row of its own."""
        status = response.status_code
        response.request_meta["name"] = f"{status} {response.request_meta['name']}"
        asked = pages.retry_after(response.headers.get("Retry-After"))
        pause = min(1.0 if asked is None else asked, LONGEST_PAUSE_SECONDS)
        # Spread, or all who were sent away together come back together.
        self.away_until = monotonic() + pause * random.uniform(1.0, 1.25)  # noqa: S311
        if asked is None:
            return f"{status} without a usable Retry-After"
        return f"{status}, waiting as asked"

    def unexpected(self, response: Any, expect: Collection[int]) -> str:
        """The failure's name for a status that was not expected."""
        return f"{response.status_code} instead of {' or '.join(map(str, expect))}"

    def page_is_right(self, page: Answer) -> str | None:
        """Check: the top of the page shows its owner, and nobody else."""
        ledger.checks += 1
        return check_head(self.owner, pages.head(page.text))


class Visiting(StackUser):
    """What needs no account: the public pages with their style sheets."""

    abstract = True

    def front_page(self) -> None:
        page = self.ask("GET", "/", check=self.page_is_right)
        for path in pages.assets(page.text) if page else ():
            self.ask("GET", path, name="/static/…", check=_sets_no_cookie)

    def look_at_login(self) -> None:
        if self.owner is None:  # a member is sent on from there
            self.ask("GET", "/auth/login", check=self.page_is_right)

    def version(self) -> None:
        self.ask("GET", "/version", accept="application/json")


def logged_in(step: Callable[[U], None]) -> Callable[[U], None]:
    """A task that needs a session: the user comes in instead when it has none."""

    @wraps(step)
    def logged_in_step(self: U) -> None:
        if self.at_home:
            step(self)
        else:
            self.come_in()

    return logged_in_step


class Belonging(StackUser):
    """What needs an account of one's own: come in, read, write, edit, delete, and leave again.

    Every answer is held to the account that asked for it.
    """

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.account = accounts.take()
        self.at_home = False
        self.turn: float | None = None
        self.token = ""  # of the last page with a form; good as long as the session

    @property
    def owner(self) -> Account | None:
        return self.account if self.at_home else None

    def on_stop(self) -> None:
        if self.at_home:
            self.log_out()
        accounts.give_back(self.account)

    @logged_in
    def who_am_i(self) -> None:
        self.ask("GET", "/auth/whoami", check=self.is_me, accept="application/json")

    @logged_in
    def read_posts(self) -> None:
        if self.own_page("/posts/") and self.account.posts:
            self.read_post(self.any_post())

    @logged_in
    def write_post(self) -> None:
        text = self.new_text()
        form = self.open_form("/posts/", {"title": self.account.name, "text": text})
        answer = form and self.ask("POST", "/posts/", expect=REDIRECT, form=form)
        if answer:
            path = urlsplit(answer.location).path
            self.account.posts[path] = text
            self.read_post(path)
        if len(self.account.posts) > POSTS_KEPT:
            self.delete_post(next(iter(self.account.posts)))

    @logged_in
    def edit_post(self) -> None:
        if not self.account.posts:
            return
        path, text = self.any_post(), self.new_text()
        name, fields = "/posts/<id>/edit", {"title": self.account.name, "text": text}
        form = self.open_form(f"{path}/edit", fields, name=name, post=path)
        if form and self.ask("POST", f"{path}/edit", name=name, expect=REDIRECT, form=form):
            self.account.posts[path] = text
            self.read_post(path)

    @logged_in
    def leave(self) -> None:
        if gate.queue() < SHORT_QUEUE_SECONDS:
            self.log_out()

    def come_in(self) -> None:
        """Log in, or register the first time, as soon as it is this user's turn."""
        if self.turn is None:
            self.turn = gate.reserve()
        if self.turn > monotonic():
            self.wait_for_turn()
            return
        self.turn = None
        path = "/auth/login" if self.account.registered else "/auth/register"
        form = self.open_form(path, {"name": self.account.name})
        if not form:
            return
        with gate.door:
            answer = self.ask("POST", path, expect=REDIRECT, form=form)
        if not answer:
            return
        new = not self.account.registered
        self.account.registered = True
        if new and "/auth/login" in answer.location:
            return  # an app that wants the new account to log in
        self.at_home = True
        self.token = ""  # the one on the form was of the session before
        self.who_am_i()

    def wait_for_turn(self) -> None:
        self.away_until = max(self.away_until, self.turn or 0.0)

    def log_out(self) -> None:
        """Take one's posts off the board, log out, and see that the session is really over."""
        for path in list(self.account.posts):
            self.delete_post(path)
        if self.press("/auth/logout"):
            self.at_home = False
            self.token = ""
            self.ask(
                "GET",
                "/auth/whoami",
                name="/auth/whoami after logout",
                expect=(401,),
                accept="application/json",
            )

    def any_post(self) -> str:
        return random.choice(list(self.account.posts))  # noqa: S311

    def read_post(self, path: str) -> None:
        self.own_page(path, name="/posts/<id>", post=path)

    def delete_post(self, path: str) -> None:
        if self.press(f"{path}/delete", name="/posts/<id>/delete"):
            del self.account.posts[path]

    def press(self, path: str, *, name: str | None = None) -> Answer | None:
        """POST a form that is one button, with the token of a page seen in this session."""
        if not self.token and not self.own_page("/posts/"):
            return None
        return self.ask("POST", path, name=name, expect=REDIRECT, form={"csrf_token": self.token})

    def own_page(
        self,
        path: str,
        *,
        name: str | None = None,
        post: str | None = None,
        check: Check | None = None,
    ) -> Answer | None:
        """GET a page of this session. With *post*, that post of ours has to be on it as written."""

        def is_ours(page: Answer) -> str | None:
            return (
                self.page_is_right(page)
                or (post and check_post(self.account, self.account.posts[post], page.text))
                or (check and check(page))
                or None
            )

        page = self.ask("GET", path, name=name, check=is_ours)
        if page:
            self.token = pages.csrf_token(page.text) or self.token
        return page

    def open_form(
        self, path: str, fields: dict[str, str], *, name: str | None = None, post: str | None = None
    ) -> dict[str, str] | None:
        """GET the page with the form for *fields*; return the form as filled in, or None."""
        filled: dict[str, str] = {}

        def has_form(page: Answer) -> str | None:
            try:
                filled.update(pages.fill(page.text, fields, password=self.account.password))
            except pages.FormError as error:
                return str(error)
            return None

        return filled if self.own_page(path, name=name, post=post, check=has_form) else None

    def unexpected(self, response: Any, expect: Collection[int]) -> str:
        location = response.headers.get("Location", "")
        if self.at_home and (response.status_code == 401 or "/auth/login" in location):
            self.at_home = False
            self.token = ""
            return "session lost"
        return super().unexpected(response, expect)

    def is_me(self, answer: Answer) -> str | None:
        ledger.checks += 1
        try:
            return check_whoami(self.account, answer.json())
        except (ValueError, AttributeError):
            return "not a JSON object"

    def new_text(self) -> str:
        return f"{self.account.name} wrote {secrets.token_hex(8)}"


def _sets_no_cookie(answer: Answer) -> str | None:
    # A cookie on a file that every cache may keep hands one session to everybody.
    return "a static file sets a cookie" if answer.header("Set-Cookie") else None
