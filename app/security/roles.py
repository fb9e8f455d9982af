"""Roles and what they permit.

Code checks permissions (`@requires("content.moderate")`), so code also defines which role has them,
and the definition can be reviewed. Which user has which role is data, stored with the user.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.security.users import User


@dataclass(frozen=True)
class Role:
    """A named set of permissions."""

    name: str
    meaning: str
    permissions: frozenset[str]

    @classmethod
    def catalogue(cls) -> tuple[Role, ...]:
        """Every role that can be granted. Override to define roles of your own."""
        return (
            cls(
                "admin",
                "manages accounts: sees them, disables them, grants roles, ends sessions",
                frozenset({"users.manage", "content.moderate"}),
            ),
            cls("moderator", "deletes what other users wrote", frozenset({"content.moderate"})),
        )


class PermissionCheck(ABC):
    """Decides what a user may do. Asked on each request of a logged-in user: no round trips."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self.roles = roles

    @abstractmethod
    def permissions_of(self, user: User) -> frozenset[str]:
        """Everything that *user* may do."""


class RolePermissions(PermissionCheck):
    """A user may do what any of their roles permits; a role that is gone permits nothing."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        super().__init__(roles)
        self._of = lru_cache(maxsize=256)(self._union)

    def permissions_of(self, user: User) -> frozenset[str]:
        return self._of(tuple(user.roles)) if user.roles else frozenset()

    def _union(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset().union(*(self.roles[n].permissions for n in names if n in self.roles))
