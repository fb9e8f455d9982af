"""Does what came back belong to the one who asked?

One answer with another user's identity is worse than any number of errors. It is counted as a
failure named ``identity leak``; the details, with the request id that finds it in the server's
logs, go to ``identity-leaks.jsonl``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAK = "identity leak"

# Recognised wherever it turns up on a page, so that a leak needs no markup to be seen.
_NAME = re.compile(r"\blt-[0-9a-f]{8}-[0-9]{4,}\b")
_WROTE = re.compile(rf"({_NAME.pattern}) wrote")
_RUN = secrets.token_hex(4)


class IdentityLeak(Exception):
    """Somebody else's data. Its text is constant: Locust groups failures by it."""

    def __init__(self, expected: str | None, found: str) -> None:
        super().__init__(LEAK)
        self.expected = expected
        self.found = found


@dataclass
class Ledger:
    """What this run has checked and what it has found."""

    checks: int = 0
    leaks: list[dict[str, Any]] = field(default_factory=list)

    def clear(self) -> None:
        self.checks = 0
        self.leaks.clear()


ledger = Ledger()


@dataclass
class Account:
    """One registered user of this run. *id* is None until the app has said it."""

    name: str
    password: str
    id: str | None = None
    registered: bool = False
    posts: dict[str, str] = field(default_factory=dict)  # path → the text that must come back


class Accounts:
    """Accounts of this run: names that are unique by user and run, given back when a user stops.

    Giving back saves a registration, which costs a hash and a turn at the login limit.
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
    """Hold the app's own word on who asked to *account*; learn the id from the first answer.

    Returns a complaint about an answer that names nobody. Raises IdentityLeak.
    """
    name, user_id = answer.get("name"), answer.get("id")
    if not name or user_id is None:
        return f"names nobody: {sorted(answer)}"
    if name != account.name or account.id not in {None, str(user_id)}:
        raise IdentityLeak(account.name, f"{name} (id {user_id})")
    account.id = str(user_id)
    return None


def check_head(account: Account | None, head: str) -> str | None:
    """Hold the account shown in a page's *head* to *account* (None: nobody is logged in).

    Returns a complaint about a page that does not show its own user. Raises IdentityLeak.
    """
    shown = set(_NAME.findall(head))
    own = {account.name} if account else set()
    if others := shown - own:
        raise IdentityLeak(account.name if account else None, ", ".join(sorted(others)))
    return "the page does not say who is logged in" if own - shown else None


def check_post(account: Account, text: str, page: str) -> str | None:
    """Hold the page of one of *account*'s posts to the *text* written last.

    Returns a complaint about a page without it. Raises IdentityLeak when another's post is there.
    """
    if text in page:
        return None
    if others := {match[1] for match in _WROTE.finditer(page)} - {account.name}:
        raise IdentityLeak(account.name, f"a post of {', '.join(sorted(others))}")
    return "one's own post is not as it was written"
