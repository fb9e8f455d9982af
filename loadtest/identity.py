"""Checks that a response belongs to the account that asked for it.

One response with another user's identity is worse than any number of errors. It is a failure named
``identity leak``; the details, with the request id that finds it in the server's logs, go to
``identity-leaks.jsonl``.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAK = "identity leak"

# Names of accounts can be recognised anywhere on a page, whatever its markup.
NAME = re.compile(r"\blt-[0-9a-f]{8}-[0-9]{4,}\b")
# `make loadtest` chooses the beginning of the names, because it deletes the accounts afterwards.
_BEGINNING = os.environ.get("LOADTEST_ACCOUNTS") or f"lt-{secrets.token_hex(4)}-"
_numbers = itertools.count(1)


def number_accounts_from(first: int) -> None:
    """Give the next accounts *first*, *first* + 1 … as the end of their names."""
    global _numbers  # noqa: PLW0603 - one numbering a process
    _numbers = itertools.count(first)


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


ledger = Ledger()


@dataclass
class Account:
    """An account of this run. *id* is None until the app has reported it."""

    name: str = field(default_factory=lambda: f"{_BEGINNING}{next(_numbers):04}")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    id: str | None = None
    registered: bool = False


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
    shown = set(NAME.findall(head))
    own = {account.name} if account else set()
    if others := shown - own:
        raise IdentityLeak(account.name if account else None, ", ".join(sorted(others)))
    return "the page does not show who is logged in" if own - shown else None
