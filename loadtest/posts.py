"""Users of the demo's notice board, who write posts and check that they read their own.

`make new DEMO=no` removes this file and its import in locustfile.py.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from loadtest.client import REDIRECT, Check, Response
from loadtest.identity import NAME, Account, IdentityLeak
from loadtest.users import MemberTasks, SoakMember, Walkthrough, needs_login, weighted

MAX_POSTS = 3
_WROTE = re.compile(rf"({NAME.pattern}) wrote")


def check_post(account: Account, text: str, page: str) -> str | None:
    """Look for the *text* of one of *account*'s posts on its page.

    Returns the failure if it is missing. Raises IdentityLeak if another account's post is there.
    """
    if text in page:
        return None
    if others := {match[1] for match in _WROTE.finditer(page)} - {account.name}:
        raise IdentityLeak(account.name, f"a post of {', '.join(sorted(others))}")
    return "the post does not have the text that was written"


class PostTasks(MemberTasks):
    """Write, read, edit and delete posts of one's own. A logout deletes them first."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.posts: dict[str, str] = {}  # path → the text that must come back

    @needs_login
    def read_posts(self) -> None:
        if self.get_page("/posts/") and self.posts:
            self.read_post(self._any_post())

    @needs_login
    def write_post(self) -> None:
        text = self._new_text()
        form = self.get_form("/posts/", {"title": self.account.name, "text": text})
        response = form and self.fetch("POST", "/posts/", expect=REDIRECT, form=form)
        if response:
            path = urlsplit(response.headers["Location"]).path.removeprefix(self.prefix)
            self.posts[path] = text
            self.read_post(path)
        if len(self.posts) > MAX_POSTS:
            self.delete_post(next(iter(self.posts)))

    @needs_login
    def edit_post(self) -> None:
        if not self.posts:
            return
        path, text = self._any_post(), self._new_text()
        name, fields = "/posts/<id>/edit", {"title": self.account.name, "text": text}
        form = self.get_form(f"{path}/edit", fields, name=name, check=self._check_post(path))
        if form and self.fetch("POST", f"{path}/edit", name=name, expect=REDIRECT, form=form):
            self.posts[path] = text
            self.read_post(path)

    def read_post(self, path: str) -> None:
        self.get_page(path, name="/posts/<id>", check=self._check_post(path))

    def delete_post(self, path: str) -> None:
        if self.submit(f"{path}/delete", name="/posts/<id>/delete"):
            del self.posts[path]

    def log_out(self) -> None:
        for path in list(self.posts):
            self.delete_post(path)
        super().log_out()

    def _check_post(self, path: str) -> Check:
        def check(page: Response) -> str | None:
            return check_post(self.account, self.posts[path], page.text)

        return check

    def _any_post(self) -> str:
        return random.choice(list(self.posts))  # noqa: S311

    def _new_text(self) -> str:
        return f"{self.account.name} wrote {secrets.token_hex(8)}"


class Author(PostTasks):
    """A member who reads and writes posts."""

    weight = 3
    tasks = weighted(
        {
            PostTasks.whoami: 6,
            PostTasks.read_posts: 6,
            PostTasks.write_post: 2,
            PostTasks.edit_post: 1,
            PostTasks.leave: 1,
        }
    )


class AuthorWalkthrough(PostTasks, Walkthrough):
    """The walk with all that can be done to a post."""

    def steps(self) -> list[Callable[[], None]]:
        *before, log_out = super().steps()
        return [*before, self.write_post, self.read_posts, self.edit_post, log_out]


class SoakAuthor(PostTasks, SoakMember):
    """A member without think time who also writes posts, so that pages of posts are checked too."""

    tasks = weighted(
        {
            PostTasks.read_posts: 12,
            PostTasks.write_post: 4,
            PostTasks.edit_post: 2,
        }
    )
