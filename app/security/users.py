"""Users, and the store that keeps them: redis_users.py, or docs/examples/sqlite_users.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from app.sessions import RedisSession


@dataclass(slots=True, eq=False)
class User:
    """A user with an account. Each request makes one, so it is small."""

    id: str
    name: str
    roles: Sequence[str] = ()
    is_active: bool = True
    created_at: float = 0.0
    # Increases with each change of password, state or roles; sessions of another epoch are invalid.
    epoch: int = 0
    # What a registration form asks for besides name and password.
    details: Mapping[str, str] = field(default_factory=dict)
    # Set by the SecurityManager from `roles`; a store does not keep them.
    permissions: frozenset[str] = frozenset()

    is_authenticated: ClassVar = True
    is_anonymous: ClassVar = False

    def get_id(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class AnonymousUser:
    """A visitor who is not logged in. Has the attributes of a user and no permissions."""

    id = ""
    name = ""
    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    is_active = False
    is_authenticated = False
    is_anonymous = True

    def get_id(self) -> None:
        return None


class Credentials(NamedTuple):
    """A user with the hash of the password, which is never part of the User."""

    user: User
    password_hash: str


class NameTaken(Exception):
    """Another account has this name or one with the same canonical form."""


class UserStore(ABC):
    """The user database of the SecurityManager.

    A store creates its users with `self.user_model`. Each request of a logged-in user calls
    `of_session`, which must take at most one round trip. Failures of the database must be raised as
    `app.redis_client.StoreUnavailable`: the client gets a 503 and is not treated as anonymous.
    """

    def __init__(self, user_model: type[User]) -> None:
        self.user_model = user_model

    @abstractmethod
    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        """Store a new user. Raises NameTaken; of two parallel calls exactly one succeeds."""

    @abstractmethod
    def get(self, user_id: str) -> User | None:
        """The user with this id, or None."""

    def of_session(self, session: RedisSession, user_id: str) -> User | None:  # noqa: ARG002
        """The user with this id, whose session this is, or None."""
        return self.get(user_id)

    @abstractmethod
    def by_name(self, canonical_name: str) -> Credentials | None:
        """The user with this name, or None. An unknown name must take as long as a known one."""

    @abstractmethod
    def update(self, user: User, *, epoch: int, password_hash: str | None = None) -> bool:
        """Write the roles and the state of *user*, the new *epoch*, and the hash if given.

        Returns False and writes nothing if the stored epoch is not `user.epoch` any more. Does not
        change *user* itself.
        """

    @abstractmethod
    def delete(self, user: User, canonical_name: str) -> None: ...

    @abstractmethod
    def page(self, start: int, size: int) -> list[User]:
        """*size* users from position *start*, in order of registration."""
