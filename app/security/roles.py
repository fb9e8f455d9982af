"""Roles and their permissions, defined in code. Which user has which role is data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """A named set of permissions."""

    name: str
    meaning: str
    permissions: frozenset[str]


ROLES = (
    Role(
        "admin",
        "manages accounts: sees them, disables them, grants roles, ends sessions",
        frozenset({"users.manage", "content.moderate"}),
    ),
    Role("moderator", "deletes what other users wrote", frozenset({"content.moderate"})),
)
