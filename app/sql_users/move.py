"""Copies all accounts between Redis and the database. `make accounts-move` runs it.

    python3 -m app.sql_users.move to-database|to-redis|drop-redis

The first line of the input is a JSON object: `environ`, which changes the environment, and `extra`,
"keep" or "delete". The output has lines for the progress, and then `ready` with the number of
accounts. `to-redis` then keeps writers out of the database until its input ends. Exit codes: 1 with
the reason on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sql

from app.redis_client import Client, Command, StoreUnavailable, connect
from app.security import names
from app.security.redis_users import _FIELDS, _IDS, _NAME, _USER, _changeable
from app.security.users import User
from app.settings import Settings
from app.sql_users import USERS, engine_of, row_of
from app.sql_users.__main__ import migrate

PAGE = 500
SHOWN = 10


class Refused(Exception):
    """Nothing was changed."""


class Account(NamedTuple):
    id: str
    canonical_name: str
    name: str
    password_hash: str
    active: bool
    roles: tuple[str, ...]
    created_at: float
    epoch: int
    details: Mapping[str, str]

    def user(self) -> User:
        return User(
            self.id, self.name, self.roles, self.active, self.created_at, self.epoch, self.details
        )


class Accounts(Protocol):
    def pages(self) -> Iterator[Sequence[Account]]: ...

    def of_ids(self, ids: Sequence[str]) -> dict[str, Account]: ...

    def owners(self, canonical_names: Sequence[str]) -> dict[str, str]:
        """By name: the id of the account that has it."""

    def put(self, accounts: Sequence[Account]) -> None: ...

    def remove(self, accounts: Sequence[Account]) -> None: ...


class InRedis:
    """Without the accounts to which nobody can log in, whose names are in `left`: a crash in
    RedisUserStore.create() leaves such.
    """

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.left: set[str] = set()

    def pages(self) -> Iterator[Sequence[Account]]:
        start = 0
        while ids := self._redis.execute("ZRANGE", _IDS, start, start + PAGE - 1):
            yield list(self.of_ids([each.decode() for each in ids]).values())
            start += PAGE

    def of_ids(self, ids: Sequence[str]) -> dict[str, Account]:
        rows = self._pipeline(("HMGET", _USER + each, "hash", *_FIELDS) for each in ids)
        found = [_from_redis(each, row) for each, row in zip(ids, rows, strict=True) if row[1]]
        owners = self.owners([one.canonical_name for one in found])
        self.left |= {one.name for one in found if owners.get(one.canonical_name) != one.id}
        return {one.id: one for one in found if owners.get(one.canonical_name) == one.id}

    def owners(self, canonical_names: Sequence[str]) -> dict[str, str]:
        ids = self._pipeline(("GET", _NAME + name) for name in canonical_names)
        return {
            name: each.decode() for name, each in zip(canonical_names, ids, strict=True) if each
        }

    def put(self, accounts: Sequence[Account]) -> None:
        commands: list[Command] = []
        for one in accounts:
            fields = _changeable(one.user(), one.epoch, one.password_hash)
            fields |= {"name": one.name, "created": one.created_at}
            fields["details"] = json.dumps(dict(one.details)) if one.details else ""
            commands += [
                ("HSET", _USER + one.id, *(part for pair in fields.items() for part in pair)),
                ("ZADD", _IDS, one.created_at, one.id),
                ("SET", _NAME + one.canonical_name, one.id),
            ]
        self._pipeline(commands)

    def remove(self, accounts: Sequence[Account]) -> None:
        for one in accounts:
            self._pipeline([("DEL", _NAME + one.canonical_name), ("DEL", _USER + one.id)])
            self._pipeline([("ZREM", _IDS, one.id)])

    def _pipeline(self, commands: Iterable[Command]) -> list[Any]:
        listed = list(commands)
        return self._redis.pipeline(listed) if listed else []


def _from_redis(user_id: str, row: Sequence[Any]) -> Account:
    password_hash, name, active, roles, created, epoch, details = row
    try:
        canonical_name = names.canonical(name.decode())
    except names.BadName:
        canonical_name = ""  # nobody's
    return Account(
        user_id,
        canonical_name,
        name.decode(),
        password_hash.decode(),
        active == b"1",
        tuple(roles.decode().split(",")) if roles else (),
        float(created),
        int(epoch),
        json.loads(details) if details else {},
    )


class InDatabase:
    def __init__(self, connection: sql.Connection) -> None:
        self._connection = connection

    def pages(self) -> Iterator[Sequence[Account]]:
        last = ""
        while True:
            page = USERS.select().where(USERS.c.id > last).order_by(USERS.c.id).limit(PAGE)
            if not (found := self._accounts(page)):
                return
            yield found
            last = found[-1].id

    def of_ids(self, ids: Sequence[str]) -> dict[str, Account]:
        return {one.id: one for one in self._accounts(USERS.select().where(USERS.c.id.in_(ids)))}

    def owners(self, canonical_names: Sequence[str]) -> dict[str, str]:
        named = sql.select(USERS.c.canonical_name, USERS.c.id).where(
            USERS.c.canonical_name.in_(canonical_names)
        )
        return {row.canonical_name: row.id for row in self._connection.execute(named)}

    def put(self, accounts: Sequence[Account]) -> None:
        if accounts:
            self.remove(accounts)
            rows = [row_of(one.user(), one.canonical_name, one.password_hash) for one in accounts]
            self._connection.execute(USERS.insert(), rows)

    def remove(self, accounts: Sequence[Account]) -> None:
        ids = [one.id for one in accounts]
        self._connection.execute(USERS.delete().where(USERS.c.id.in_(ids)))

    def _accounts(self, query: sql.Select[Any]) -> list[Account]:
        return [
            Account(
                row.id,
                row.canonical_name,
                row.name,
                row.password_hash,
                row.active,
                tuple(row.roles),
                row.created_at,
                row.epoch,
                row.details,
            )
            for row in self._connection.execute(query)
        ]


def copy(source: Accounts, target: Accounts, extra: str = "") -> int:
    """Make *target* hold what *source* holds, read it back, and return the number of accounts.

    Raises Refused, before the first change, for accounts of *target* that this would overwrite or
    that *source* does not have; *extra* "keep" or "delete" decides about the latter.
    """
    total = 0
    taken: list[str] = []
    newer: list[str] = []
    for page in source.pages():
        total += len(page)
        present = target.of_ids([one.id for one in page])
        owners = target.owners([one.canonical_name for one in page])
        taken += [one.name for one in page if owners.get(one.canonical_name, one.id) != one.id]
        newer += [one.name for one in page if present.get(one.id, one).epoch > one.epoch]
    if taken:
        raise Refused(f"other accounts have these names there: {_listed(taken)}")
    if newer:
        raise Refused(f"these accounts were changed there: {_listed(newer)}")
    others = [
        one
        for page in target.pages()
        for kept in [source.of_ids([one.id for one in page])]
        for one in page
        if one.id not in kept
    ]
    if others and extra not in ("keep", "delete"):
        raise Refused(
            f"these accounts exist only there: {_listed([one.name for one in others])}; "
            "EXTRA=keep or EXTRA=delete"
        )
    if extra == "delete":
        target.remove(others)
    done = 0
    for page in source.pages():
        present = target.of_ids([one.id for one in page])
        target.put([one for one in page if present.get(one.id) != one])
        done += len(page)
        _say(f"copied {done:,} of {total:,} accounts")
    for page in source.pages():
        if target.of_ids([one.id for one in page]) != {one.id: one for one in page}:
            raise Refused("what was read back is not what was written; repeat the command")
    return total


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def locked(url: str) -> Iterator[InDatabase]:
    """The database in a transaction, beside which others read and do not write."""
    engine = engine_of(url, transactions=True)
    migrate(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sql.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sql.text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(sql.text("LOCK TABLE stack_users IN EXCLUSIVE MODE"))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield InDatabase(connection)


def run(task: str, given: Mapping[str, Any]) -> None:
    """Raises Refused, StoreUnavailable, ValueError or an error of SQLAlchemy's."""
    extra = given["extra"]
    settings = Settings.from_environ({**os.environ, **given["environ"]})
    redis = InRedis(connect(settings.redis_url, settings.redis_password, budget=10))
    if task == "drop-redis":
        count = 0
        for page in list(redis.pages()):
            redis.remove(page)
            count += len(page)
        _say(f"ready {count}")
        return
    with locked(settings.users_url) as database:
        if task == "to-redis":
            _say(f"ready {copy(database, redis, extra)}")
            sys.stdin.read()
            return
        count = copy(redis, database, extra)
    if redis.left:
        _say(f"left {len(redis.left)} to which nobody can log in: {_listed(sorted(redis.left))}")
    _say(f"ready {count}")


def main() -> int:
    try:
        run(sys.argv[1], json.loads(sys.stdin.readline()))
    except (Refused, StoreUnavailable, ValueError, ImportError) as error:
        reason: object = error
    except sql.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
    else:
        return 0
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
