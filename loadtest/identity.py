"""Checks that a response belongs to the account that asked for it.

One response with another user's identity is worse than any number of errors. It is a failure named
``identity leak``; the details, with the request id that finds it in the server's logs, go to
``identity-leaks.jsonl``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAK = "identity leak"

# The names can be recognised anywhere on a page, whatever its markup.
_NAME = re.compile(r"\blt-[0-9a-f]{8}-[0-9]{4,}\b")
_WROTE = re.compile(rf"({_NAME.pattern}) wrote")
_RUN = secrets.token_hex(4)


class IdentityLeak(Exception):
    """Another account's data. The text is constant, because Locust groups failures by it."""

    def __init__(self, expected: str | None, found: str) -> None:
        super().__init__(LEAK)
        self.expected = expected
        self.found = found


@dataclass
class Ledger:
    """The number of identity checks in this run, and the leaks that they found."""

    checks: int = 0
    leaks: list[dict[str, Any]] = field(default_factory=list)

    def clear(self) -> None:
        self.checks = 0
        self.leaks.clear()


ledger = Ledger()


@dataclass
class Account:
    """An account of this run. *id* is None until the app has reported it."""

    name: str
    password: str
    id: str | None = None
    registered: bool = False
    posts: dict[str, str] = field(default_factory=dict)  # path → the text that must come back


class Accounts:
    """The accounts of this run, each used by one user at a time.

    A user gives its account back when it stops, and the next one takes it: a registration costs a
    password hash and counts towards the login limit.
    """

    def __init__(self, run: str = _RUN) -> None:
        self._run = run
        self._made = 0
        self._free: list[Account] = []

    def take(self) -> Account:
        if self._free:
            return self._free.pop()
        self._made += 1
        return Account(f"lt-{self._run}-{self._made:04}", secrets.token_urlsafe(18))

    def give_back(self, account: Account) -> None:
        self._free.append(account)


def check_whoami(account: Account, answer: Mapping[str, Any]) -> str | None:
    """Compare the app's *answer* to whoami with *account*; take the id from the first answer.

    Returns the failure if the answer names no account. Raises IdentityLeak.
    """
    name, user_id = answer.get("name"), answer.get("id")
    if not name or user_id is None:
        return f"no name or id in {sorted(answer)}"
    if name != account.name or account.id not in {None, str(user_id)}:
        raise IdentityLeak(account.name, f"{name} (id {user_id})")
    account.id = str(user_id)
    return None


def check_head(account: Account | None, head: str) -> str | None:
    """Compare the account in a page's *head* with *account* (None: a visitor).

    Returns the failure if the page does not show its own user. Raises IdentityLeak.
    """
    shown = set(_NAME.findall(head))
    own = {account.name} if account else set()
    if others := shown - own:
        raise IdentityLeak(account.name if account else None, ", ".join(sorted(others)))
    return "the page does not show who is logged in" if own - shown else None


def check_post(account: Account, text: str, page: str) -> str | None:
    """Look for the *text* of one of *account*'s posts on its page.

    Returns the failure if it is missing. Raises IdentityLeak if another account's post is there.
    """
    if text in page:
        return None
    if others := {match[1] for match in _WROTE.finditer(page)} - {account.name}:
        raise IdentityLeak(account.name, f"a post of {', '.join(sorted(others))}")
    return "the post does not have the text that was written"
