"""Users in Redis.

    account:user:<id>     hash   name, hash, active, roles, created, epoch, details
    account:name:<name>   string the id of the user with this canonical name
    account:users         sorted set of all ids by time of registration

No key expires. Each command and script uses one key, so this works on Redis Cluster too.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

from app.redis_client import Client, Command
from app.security.users import Credentials, NameTaken, User, UserStore
from app.sessions import RedisSession

_USER, _NAME, _IDS = "account:user:", "account:name:", "account:users"
_FIELDS = ("name", "active", "roles", "created", "epoch", "details")
_NOBODY = "-"  # never the id of a user

# ARGV: the epoch that was read, then names and values. A deleted user has no epoch. It may exceed
# the memory limit, so that an admin can disable an account when Redis is full.
_UPDATE = """#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
"""


# A deletion can come late or twice; the name may have another owner by then.
_RELEASE = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
"""


class RedisUserStore(UserStore):
    """See the module's docstring. `create`, `by_name` and `delete` take two round trips: the second
    waits for the first to succeed. The others take one.
    """

    def __init__(self, user_model: type[User], redis: Client) -> None:
        super().__init__(user_model)
        self._redis = redis
        self._update = redis.script(_UPDATE)
        self._release = redis.script(_RELEASE)

    def create(self, user: User, canonical_name: str, password_hash: str) -> None:
        key = _USER + user.id
        details = json.dumps(dict(user.details)) if user.details else ""
        fields = _changeable(user, user.epoch, password_hash)
        fields |= {"name": user.name, "created": user.created_at, "details": details}
        # The name is claimed last. A crash before that leaves an account in the list to which
        # nobody can log in; the other order could leave one that no admin sees, or a name without
        # an account, which nobody can take any more.
        self._redis.pipeline(
            [
                ("HSET", key, *chain(*fields.items())),
                ("ZADD", _IDS, user.created_at, user.id),
            ]
        )
        claimed = self._redis.execute("SET", _NAME + canonical_name, user.id, "NX")
        # A retry after a broken connection finds the claim of its first attempt.
        if claimed is None and self._id_of(canonical_name) != user.id:
            self._redis.pipeline([("ZREM", _IDS, user.id), ("DEL", key)])
            raise NameTaken(canonical_name)

    def get(self, user_id: str) -> User | None:
        return self._user(user_id, self._redis.execute(*_read(user_id)))

    def of_session(self, session: RedisSession, user_id: str) -> User | None:
        values = session.prefetched(_read)
        return self.get(user_id) if values is None else self._user(user_id, values)

    def by_name(self, canonical_name: str) -> Credentials | None:
        # Two round trips for an unknown name too: the time must not show whether it exists.
        user_id = self._id_of(canonical_name) or _NOBODY
        password_hash, *values = self._redis.execute("HMGET", _USER + user_id, "hash", *_FIELDS)
        user = self._user(user_id, values)
        return None if user is None else Credentials(user, password_hash.decode())

    def update(self, user: User, *, epoch: int, password_hash: str | None = None) -> bool:
        fields = _changeable(user, epoch, password_hash)
        command = self._update([_USER + user.id], [user.epoch, *chain(*fields.items())])
        # Not retried: after a lost reply, a retry would find its own epoch and report a conflict.
        return bool(self._redis.execute(*command, retry=False))

    def delete(self, user: User, canonical_name: str) -> None:
        # In the reverse order of create(): the login goes first.
        self._redis.execute(*self._release([_NAME + canonical_name], [user.id]))
        self._redis.pipeline([("DEL", _USER + user.id), ("ZREM", _IDS, user.id)])

    def page(self, start: int, size: int) -> list[User]:
        ids = self._redis.execute("ZRANGE", _IDS, start, start + size - 1)
        if not ids:
            return []
        names = [user_id.decode() for user_id in ids]
        rows = self._redis.pipeline([_read(name) for name in names])
        users = [self._user(name, row) for name, row in zip(names, rows, strict=True)]
        return [user for user in users if user is not None]

    def _id_of(self, canonical_name: str) -> str | None:
        found = self._redis.execute("GET", _NAME + canonical_name)
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


def _changeable(user: User, epoch: int, password_hash: str | None) -> dict[str, str | float]:
    roles = ",".join(user.roles)
    fields: dict[str, str | float] = {"active": int(user.is_active), "roles": roles, "epoch": epoch}
    if password_hash is not None:
        fields["hash"] = password_hash
    return fields


def _read(user_id: str) -> Command:
    return ("HMGET", _USER + user_id, *_FIELDS)
