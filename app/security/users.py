"""Users, and where they are kept.

`User` is what the rest of the app sees. `UserStore` is the little that a database must be able to
do; `redis_users.py` does it in Redis, and docs/examples/sqlite_users.py in SQLite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.sessions import RedisSession, RedisSessionInterface


@dataclass(slots=True, eq=False)
class User:
    """Somebody with an account. Made anew for each request, so it is kept small."""

    id: str
    name: str
    roles: Sequence[str] = ()
    is_active: bool = True
    created_at: float = 0.0
    # Goes up with each change of password, state or roles. A session remembers the one that it was
    # made with and ends with it, also when the change came while the login was still under way.
    epoch: int = 0
    # What a registration form of yours asks for beyond name and password.
    details: Mapping[str, str] = field(default_factory=dict)
    # Filled in by the SecurityManager from `roles`: a store knows nothing of permissions.
    permissions: frozenset[str] = frozenset()

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def is_anonymous(self) -> bool:
        return False

    def get_id(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class AnonymousUser:
    """Nobody in particular. Has what templates and checks ask of a user, and may do nothing."""

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
    """A user with the hash of their password, which never is part of the user."""

    user: User
    password_hash: str


class NameTaken(Exception):
    """Another account has this name, or one that reads the same."""


class UserStore(ABC):
    """What the SecurityManager asks of a user database.

    A store makes its users with `self.user_model`, so that a model of yours works with every store.
    `get` is called on each request of a logged-in user and must not cost more than one round trip.
    Trouble with the database must surface as `app.redis_client.StoreUnavailable`: people then get a
    503, and nobody is taken for anonymous.
    """

    def __init__(self, user_model: type[User]) -> None:
        self.user_model = user_model

    @abstractmethod
    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        """Keep a new user. Raises NameTaken; of two at the same time exactly one succeeds."""

    @abstractmethod
    def get(self, user_id: str) -> User | None:
        """The user with this id, or None."""

    def join(self, sessions: RedisSessionInterface) -> None:  # noqa: B027 - most stores cannot
        """Called once, at start. A store beside the sessions can read both in one round trip."""

    def of_session(self, session: RedisSession, user_id: str) -> User | None:  # noqa: ARG002
        """The user with this id, whose session this is, or None."""
        return self.get(user_id)

    @abstractmethod
    def by_name(self, canonical_name: str) -> Credentials | None:
        """The user with this name, or None. Must take as long for a name that nobody has."""

    @abstractmethod
    def update(self, user: User, *, epoch: int, password_hash: str | None = None) -> bool:
        """Write the roles and the state of *user*, the new *epoch*, and the hash if there is one.

        Only if `user.epoch` still is what is stored; False, and nothing written, if somebody else
        has changed or deleted the user meanwhile. Sets nothing on *user* itself.
        """

    @abstractmethod
    def delete(self, user: User, canonical_name: str) -> None: ...

    @abstractmethod
    def page(self, start: int, size: int) -> list[User]:
        """*size* users from position *start* on, in the order in which they registered."""
