"""The accounts in Redis and in the database, page by page, for what copies them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sql

from app.redis_client import Client, Command
from app.security import names
from app.security.redis_users import _FIELDS, _IDS, _NAME, _RELEASE, _USER, _changeable
from app.security.users import User
from app.sql_users import USERS, row_of

PAGE = 500
# `make accounts-move COPY=no` sets it: the app may use a database without these accounts.
_MAY_STAY = "account:may-stay"


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
        self._release = redis.script(_RELEASE)
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

    @property
    def may_stay(self) -> bool:
        return bool(self._redis.execute("EXISTS", _MAY_STAY))

    def remove(self, accounts: Sequence[Account]) -> None:
        for one in accounts:
            self._redis.execute(*self._release([_NAME + one.canonical_name], [one.id]))
            self._pipeline([("DEL", _USER + one.id), ("ZREM", _IDS, one.id)])

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
