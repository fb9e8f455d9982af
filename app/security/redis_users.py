"""Users in Redis.

    account:user:<id>     hash   name, hash, active, roles, created, epoch, details
    account:name:<name>   string the id of the user with this canonical name
    account:users         sorted set of all ids by time of registration

No key expires. Each command and script uses one key, so this works on Redis Cluster too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.redis_client import Client, Command
from app.security.users import Credentials, NameTaken, User, UserStore
from app.sessions import RedisSession

_FIELDS = ("name", "active", "roles", "created", "epoch", "details")
_NOBODY = "-"  # never the id of a user

# ARGV: the epoch that was read, then names and values. A deleted user has no epoch.
_UPDATE = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
"""


class RedisUserStore(UserStore):
    """See the module's docstring. Each method takes one round trip; `by_name` takes two."""

    def __init__(self, user_model: type[User], redis: Client) -> None:
        super().__init__(user_model)
        self._redis = redis
        self._update = redis.script(_UPDATE)

    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        key = _user_key(user.id)
        fields: dict[str, str | int | float] = {
            "name": user.name,
            "hash": password_hash,
            "active": int(user.is_active),
            "roles": ",".join(user.roles),
            "created": user.created_at,
            "epoch": user.epoch,
            "details": json.dumps(dict(user.details)) if user.details else "",
        }
        # The name is claimed last. A crash before that leaves an account in the list to which
        # nobody can log in; the other order could leave one that no admin sees.
        *_, claimed = self._redis.pipeline(
            [
                ("HSET", key, *_flat(fields)),
                ("ZADD", "account:users", user.created_at, user.id),
                ("SET", _name_key(canonical_name), user.id, "NX"),
            ]
        )
        # A retry after a broken connection finds the claim of its first attempt.
        if claimed is None and self._id_of(canonical_name) != user.id:
            self._redis.pipeline([("ZREM", "account:users", user.id), ("DEL", key)])
            raise NameTaken(canonical_name)

    def get(self, user_id: str) -> User | None:
        return self._user(user_id, self._redis.execute(*_read(user_id)))

    def of_session(self, session: RedisSession, user_id: str) -> User | None:
        values = session.prefetched(_read)
        return self.get(user_id) if values is None else self._user(user_id, values)

    def by_name(self, canonical_name: str) -> Credentials | None:
        # Two round trips for an unknown name too: the time must not show whether it exists.
        user_id = self._id_of(canonical_name) or _NOBODY
        password_hash, *values = self._redis.execute("HMGET", _user_key(user_id), "hash", *_FIELDS)
        user = self._user(user_id, values)
        return None if user is None else Credentials(user, password_hash.decode())

    def update(self, user: User, *, epoch: int, password_hash: str | None = None) -> bool:
        fields: dict[str, str | int | float] = {
            "active": int(user.is_active),
            "roles": ",".join(user.roles),
            "epoch": epoch,
        }
        if password_hash is not None:
            fields["hash"] = password_hash
        command = self._update([_user_key(user.id)], [user.epoch, *_flat(fields)])
        # Not retried: after a lost reply, a retry would find its own epoch and report a conflict.
        return bool(self._redis.execute(*command, retry=False))

    def delete(self, user: User, canonical_name: str) -> None:
        # In the reverse order of create(): the login goes first.
        self._redis.pipeline(
            [
                ("DEL", _name_key(canonical_name)),
                ("DEL", _user_key(user.id)),
                ("ZREM", "account:users", user.id),
            ]
        )

    def page(self, start: int, size: int) -> list[User]:
        ids = self._redis.execute("ZRANGE", "account:users", start, start + size - 1)
        if not ids:
            return []
        names = [user_id.decode() for user_id in ids]
        rows = self._redis.pipeline([_read(name) for name in names])
        users = [self._user(name, row) for name, row in zip(names, rows, strict=True)]
        return [user for user in users if user is not None]

    def _id_of(self, canonical_name: str) -> str | None:
        found = self._redis.execute("GET", _name_key(canonical_name))
        return None if found is None else found.decode()

    def _user(self, user_id: str, values: list[Any]) -> User | None:
        name, active, roles, created, epoch, details = values
        if name is None:
            return None
        return self.user_model(
            user_id,
            name.decode(),
            tuple(roles.decode().split(",")) if roles else (),
            active == b"1",
            float(created),
            int(epoch),
            json.loads(details) if details else {},
        )


def _read(user_id: str) -> Command:
    return ("HMGET", _user_key(user_id), *_FIELDS)


def _user_key(user_id: str) -> str:
    return f"account:user:{user_id}"


def _name_key(canonical_name: str) -> str:
    return f"account:name:{canonical_name}"


def _flat(fields: Mapping[str, str | int | float]) -> list[str | int | float]:
    return [part for pair in fields.items() for part in pair]
