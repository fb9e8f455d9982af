"""Where the accounts of an app are: in Redis, or in the database of STACK_USERS_URL."""

from __future__ import annotations

from collections.abc import Mapping

URLS = ("STACK_USERS_URL", "STACK_USERS_URL_FILE")


def in_a_database(toggles: Mapping[str, str]) -> bool:
    """Whether an app with these settings has its accounts in a database, and not in Redis."""
    return any(toggles.get(url) for url in URLS)
