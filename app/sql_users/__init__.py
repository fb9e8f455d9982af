"""Users in PostgreSQL or SQLite, chosen by STACK_USERS_URL. `python3 -m app.sql_users` migrates.

The packages are those of requirements/sql.txt. A copy installs them by project/requirements.txt.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import make_url
from werkzeug.utils import import_string

from app.redis_client import StoreUnavailable
from app.redis_client.circuit import Circuit
from app.security import SecurityManager
from app.security.users import Credentials, NameTaken, User, UserStore
from app.sql_users.deadline import left, within

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


log = logging.getLogger(__name__)

# Seconds that one call of the store may take. SQLite waits half as long for a lock.
LIMIT = 2.0


class SqlUserStore(UserStore):
    """Each method takes one statement, which is its own transaction. A write asks first whether the
    connection still works: a read is repeated on another one, and a write must not be.
    """

    def __init__(self, user_model: type[User], engine: sql.Engine) -> None:
        super().__init__(user_model)
        self._engine = engine
        self.begin()

    def begin(self) -> None:
        """Share nothing with a parent process, which goes on to use its connections."""
        self._engine.dispose(close=False)
        self._circuit = Circuit("STACK_USERS_URL", self._probe)
        self._answered = 0.0  # when any thread had its last answer, by time.monotonic()

    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        try:
            self._write(USERS.insert().values(row_of(user, canonical_name, password_hash)))
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
        return self._write(USERS.update().where(unchanged).values(values)) == 1

    def delete(self, user: User, canonical_name: str) -> None:  # noqa: ARG002 - it goes with the row
        self._write(USERS.delete().where(USERS.c.id == user.id))

    def page(self, start: int, size: int) -> list[User]:
        ordered = USERS.select().order_by(USERS.c.created_at, USERS.c.id)
        return [self._user(row) for row in self._read(ordered.offset(start).limit(size))]

    def _find(self, condition: sql.ColumnElement[bool]) -> Credentials | None:
        rows = self._read(USERS.select().where(condition))
        return Credentials(self._user(rows[0]), rows[0].password_hash) if rows else None

    def _user(self, row: Any) -> User:
        roles = tuple(row.roles)
        return self.user_model(
            row.id, row.name, roles, row.active, row.created_at, row.epoch, row.details
        )

    def _read(self, query: sql.Select[Any]) -> Sequence[sql.Row[Any]]:
        """Raises StoreUnavailable within LIMIT, and at once while the circuit is open."""
        if self._circuit.open and not self._circuit.closes():
            raise StoreUnavailable("the database does not answer: failing fast")
        begun = time.monotonic()
        try:
            with self._told(), within(LIMIT):
                rows = self._rows(query)
        except StoreUnavailable as error:
            if self._answered < begun:
                self._circuit.trip(error.reason)
            raise
        self._answered = time.monotonic()
        return rows

    def _write(self, statement: sql.Insert | sql.Update | sql.Delete) -> int:
        """Return the number of rows. Raises as `_read`, and IntegrityError."""
        self._read(sql.select(1))
        try:
            with self._told(), within(LIMIT), self._engine.connect() as connection:
                return connection.execute(statement).rowcount
        except StoreUnavailable as error:
            log.error("STACK_USERS_URL: a write failed: %s", error)
            raise

    def _rows(self, query: sql.Select[Any]) -> Sequence[sql.Row[Any]]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except sql.exc.DBAPIError as error:
            if not error.connection_invalidated or left() == 0:
                raise
        # The server has closed the pooled connections, for example by its restart.
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    def _probe(self) -> sql.Connection:
        with within(LIMIT):
            self._rows(sql.select(USERS.c.id).limit(1))
            return self._engine.connect()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raises StoreUnavailable for every failure of the database but a broken constraint."""
        try:
            yield
        except sql.exc.IntegrityError:
            raise
        except (sql.exc.DBAPIError, sql.exc.TimeoutError) as error:
            # Without the statement. A driver's own message has no password.
            reason = getattr(error, "orig", None) or error
            raise StoreUnavailable(str(reason)) from None


def keeping_users_in(
    manager: type[SecurityManager], url: str, connections: int
) -> type[SecurityManager]:
    """Return a subclass of *manager* with its users at *url*.

    Each process has at most *connections*. Raises ValueError for a URL that cannot be used, and
    ImportError if its driver is not installed.
    """
    engine = engine_of(url, connections)

    def store(user_model: type[User], _redis: object) -> UserStore:
        users = SqlUserStore(user_model, engine)
        os.register_at_fork(after_in_child=users.begin)
        return users

    def begin(self: SecurityManager, *arguments: Any) -> None:
        manager.__init__(self, *arguments)
        # Creating the demo account opened a connection, which forked workers must not share.
        engine.dispose()

    return type(
        manager.__name__, (manager,), {"user_store": staticmethod(store), "__init__": begin}
    )


def engine_of(url: str, connections: int = 1, *, transactions: bool = False) -> sql.Engine:
    """Connects at the first use. Without *transactions*, each statement is one.

    Raises ValueError, which does not repeat *url*: it is a secret.
    """
    try:
        parsed = make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise ValueError("is not a URL: must be like postgresql://user@host/database") from None
    postgresql = parsed.drivername in {"postgresql", "postgresql+psycopg"}
    if postgresql:
        parsed = parsed.set(drivername="postgresql+psycopg")
        arguments: dict[str, Any] = {
            "connect_timeout": 2,  # s, the least that libpq accepts
            "keepalives_idle": 60,  # s: a firewall forgets connections that are silent for longer
            "tcp_user_timeout": 2000,  # ms
            # In ms. The server gives up what nobody waits for any more.
            "options": "-c statement_timeout=2000 -c lock_timeout=1000",
        }
    elif parsed.drivername == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        arguments = {"timeout": LIMIT / 2}
    else:
        raise ValueError("must begin with postgresql:// or be sqlite:////path/of/a/file")
    engine = sql.create_engine(
        parsed,
        connect_args=arguments,
        isolation_level=None if transactions else "AUTOCOMMIT",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=1,
        hide_parameters=True,
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
    )
    if postgresql:
        connect = import_string("app.sql_users.postgresql:connect")  # SQLite needs no psycopg

        @sql.event.listens_for(engine, "do_connect")
        def _(_dialect: object, _record: object, given: Any, options: Any) -> Any:
            return connect(*given, **options)

    return engine


def row_of(user: User, canonical_name: str, password_hash: str) -> dict[str, Any]:
    """Return the columns of an account."""
    return {
        "id": user.id,
        "canonical_name": canonical_name,
        "name": user.name,
        "created_at": user.created_at,
        "details": dict(user.details),
        "password_hash": password_hash,
        **_changeable(user, user.epoch),
    }


def _changeable(user: User, epoch: int) -> dict[str, Any]:
    return {"active": user.is_active, "roles": list(user.roles), "epoch": epoch}
