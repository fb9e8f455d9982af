"""Users in PostgreSQL or SQLite, chosen by STACK_USERS_URL. `python3 -m app.sql_users` migrates.

The packages are those of requirements/sql.txt. A copy installs them by project/requirements.txt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import make_url

from app.redis_client import StoreUnavailable
from app.security import SecurityManager
from app.security.users import Credentials, NameTaken, User, UserStore

METADATA = sql.MetaData()
USERS = sql.Table(
    "stack_users",
    METADATA,
    sql.Column("id", sql.Text, primary_key=True),
    sql.Column("canonical_name", sql.Text, nullable=False),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("password_hash", sql.Text, nullable=False),
    sql.Column("active", sql.Boolean, nullable=False),
    sql.Column("roles", sql.JSON, nullable=False),
    sql.Column("created_at", sql.Double, nullable=False),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("details", sql.JSON, nullable=False),
    sql.UniqueConstraint("canonical_name", name="stack_users_canonical_name"),
    sql.Index("stack_users_in_order", "created_at", "id"),
)


class SqlUserStore(UserStore):
    """Each method takes one statement in a transaction of its own."""

    def __init__(self, user_model: type[User], engine: sql.Engine) -> None:
        super().__init__(user_model)
        self._engine = engine

    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        values = {
            "id": user.id,
            "canonical_name": canonical_name,
            "name": user.name,
            "created_at": user.created_at,
            "details": dict(user.details),
            "password_hash": password_hash,
            **_changeable(user, user.epoch),
        }
        try:
            with self._transaction() as connection:
                connection.execute(USERS.insert().values(values))
        except sql.exc.IntegrityError:
            raise NameTaken(canonical_name) from None

    def get(self, user_id: str) -> User | None:
        found = self._find(USERS.c.id == user_id)
        return None if found is None else found.user

    def by_name(self, canonical_name: str) -> Credentials | None:
        return self._find(USERS.c.canonical_name == canonical_name)

    def update(self, user: User, *, epoch: int, password_hash: str | None = None) -> bool:
        values = _changeable(user, epoch)
        if password_hash is not None:
            values["password_hash"] = password_hash
        unchanged = (USERS.c.id == user.id) & (USERS.c.epoch == user.epoch)
        with self._transaction() as connection:
            return connection.execute(USERS.update().where(unchanged).values(values)).rowcount == 1

    def delete(self, user: User, canonical_name: str) -> None:  # noqa: ARG002 - it goes with the row
        with self._transaction() as connection:
            connection.execute(USERS.delete().where(USERS.c.id == user.id))

    def page(self, start: int, size: int) -> list[User]:
        ordered = USERS.select().order_by(USERS.c.created_at, USERS.c.id)
        with self._transaction() as connection:
            rows = connection.execute(ordered.offset(start).limit(size)).all()
        return [self._user(row) for row in rows]

    def _find(self, condition: sql.ColumnElement[bool]) -> Credentials | None:
        with self._transaction() as connection:
            row = connection.execute(USERS.select().where(condition)).one_or_none()
        return None if row is None else Credentials(self._user(row), row.password_hash)

    def _user(self, row: Any) -> User:
        roles = tuple(row.roles)
        return self.user_model(
            row.id, row.name, roles, row.active, row.created_at, row.epoch, row.details
        )

    @contextmanager
    def _transaction(self) -> Iterator[sql.Connection]:
        """Raises StoreUnavailable for every failure of the database but a broken constraint."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sql.exc.IntegrityError:
            raise
        except (sql.exc.DBAPIError, sql.exc.TimeoutError) as error:
            # Without the statement. A driver's own message has no password.
            reason = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"STACK_USERS_URL: {reason}") from None


def keeping_users_in(
    manager: type[SecurityManager], url: str, connections: int
) -> type[SecurityManager]:
    """Return a subclass of *manager* with its users at *url*.

    Each process has at most *connections*. Raises ValueError for a URL that cannot be used, and
    ImportError if its driver is not installed.
    """
    engine = engine_of(url, connections)
    # A child must not use its parent's connections. It leaves them open for the parent.
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))

    def store(user_model: type[User], _redis: object) -> UserStore:
        return SqlUserStore(user_model, engine)

    return type(manager.__name__, (manager,), {"user_store": staticmethod(store)})


def engine_of(url: str, connections: int = 1) -> sql.Engine:
    """Connects at the first use. Raises ValueError, which does not repeat *url*: it is a secret."""
    try:
        parsed = make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise ValueError("is not a URL: must be like postgresql://user@host/database") from None
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
        # In ms. A worker waits no longer for a lock or a slow database.
        limits = "-c statement_timeout=2000 -c lock_timeout=1000"
        arguments: dict[str, Any] = {
            "connect_timeout": 2,  # s, the least that libpq accepts
            "tcp_user_timeout": 2000,
            "options": limits,
        }
    elif parsed.drivername == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        arguments = {"timeout": 1}
    else:
        raise ValueError("must begin with postgresql:// or be sqlite:////path/of/a/file")
    return sql.create_engine(
        parsed,
        connect_args=arguments,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=1,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
    )


def _changeable(user: User, epoch: int) -> dict[str, Any]:
    return {"active": user.is_active, "roles": list(user.roles), "epoch": epoch}
