"""Sessions in Redis: their keys and every operation on them, in one round trip each.

A session id is a tag of 72 bits and a secret of 256 bits. Redis holds only a keyed hash of it:

    session:{<tag>}:<hash of the id>   a session: a hash with one field for each key of the app
    session:{<tag>}:of                 a user's sessions: a sorted set of handles by absolute end
    session:{<tag>}:remember-<name>    a remember token, in the list with its session
    session:generation                 a counter, increased when all sessions are ended

The tag of a user's sessions is derived from the user id. So they and their list are in one slot of
a Redis Cluster: one script lists or ends them all, and no script crosses slots. Only the secret
part of an id is confidential.

Hash and tag are keyed with the app's secret key. When that key changes, a session keeps those of
the older key until it ends, and the scripts look under each key, in the same round trip.

Fields whose names begin with `@` are the store's own: `@born @seen @end` (ms), `@generation`,
`@user @epoch @address @agent @remember`. A key of the app that begins with `@` gets a second `@`.
redeem.lua lists the fields of a remember token.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

from ..redis_client import Argument, Client, Command, ReplyError, StoreUnavailable
from . import codec

log = logging.getLogger(__name__)

Clock = Callable[[], float] | None
Fields = Mapping[bytes, bytes]
# A command sent with a load: the function that made it, the user id it was made from, its reply.
Prefetched = tuple[Callable[[str], Command] | None, str | None, Any]

TAG_BYTES = 9
SECRET_BYTES = 32
_TAG_LENGTH = 12
_ID = re.compile(r"[A-Za-z0-9_-]{55}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{67}", re.ASCII)
# A remember token that was replaced is good for so long, for requests sent in parallel.
GRACE_MS = 60_000
# First line of the scripts of logins and revocations: they may exceed Redis's memory limit.
WHEN_FULL = "#!lua flags=allow-oom\n"
# The number of users of whom a process remembers the tag.
_OWNERS = 10_000
_SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(slots=True)
class Record:
    """A stored session: as bytes, decoded, and the store's own fields."""

    raw: dict[bytes, bytes]
    values: dict[str, Any]
    own: dict[bytes, bytes]
    prefetched: Prefetched = (None, None, None)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One line of a user's list of sessions. `handle` names it and is useless as a cookie."""

    handle: str
    created: datetime
    last_seen: datetime
    address: str
    user_agent: str
    current: bool


class SessionStore:
    """Every use of Redis by the sessions."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self._clock = clock
        self._get_generation: Command = ("GET", "session:generation")
        self._prefetch: Callable[[str], Command] | None = None
        self._owners: dict[str, str] = {}
        # Each reply updates it: it changes when all sessions are ended.
        self._generation = b""
        clock_, delta = _lua("clock"), _lua("delta")
        names, drop = _lua("names"), _lua("drop")
        self._load = client.script(clock_ + names + _lua("load"))
        create = clock_ + drop + _lua("create")
        self._create = client.script(create)
        self._create_listed = client.script(WHEN_FULL + create)
        self._save = client.script(delta + names + _lua("save"))
        self._move = client.script(WHEN_FULL + delta + names + _lua("move"))
        self._end = client.script(clock_ + names + drop + _lua("end"))
        self._list = client.script(clock_ + _lua("list"))
        self._revoke = client.script(drop + _lua("revoke"))
        self._redeem = client.script(WHEN_FULL + clock_ + drop + _lua("redeem"))
        self._prolong = client.script(WHEN_FULL + clock_ + _lua("prolong"))
        self._end_all = client.script(WHEN_FULL + "return redis.call('INCR', KEYS[1])")

    def configure(self, keys: Iterable[bytes], *, idle: float, absolute: float, most: int) -> None:
        """Set the secret keys, the one in use first, the timeouts (s), a user's maximum."""
        self._most = most
        self._peppers = [
            hashlib.blake2b(key, person=b"session pepper").digest()[:32] for key in keys
        ]
        self._idle = round(idle * 1000)
        self._absolute = round(absolute * 1000)
        # Sliding on every read would make every read a write to the append-only file.
        self._slide = min(1000, self._idle // 10)

    # Ids

    def new_id(self, *, user_id: str | None = None, like: str | None = None) -> str:
        """A new id, with the tag of a user, the tag of the id `like`, or a random tag."""
        if user_id is not None:
            tag = self._tags(user_id)[0]
        else:
            tag = like[:_TAG_LENGTH] if like else secrets.token_urlsafe(TAG_BYTES)
        return tag + secrets.token_urlsafe(SECRET_BYTES)

    @staticmethod
    def is_id(text: str | None) -> TypeGuard[str]:
        """Whether it has the form of an id."""
        return text is not None and _ID.fullmatch(text) is not None

    def handle(self, session_id: str) -> str:
        """The keyed hash of an id: its name in Redis and in the list of sessions."""
        return self._handles(session_id)[0]

    def _key(self, session_id: str) -> str:
        return self._keys(session_id)[0]

    def _keys(self, session_id: str) -> list[str]:
        """The name of a session under the secret key in use, and under each older one."""
        prefix, text = _prefix(session_id), session_id.encode()
        return [
            prefix + hashlib.blake2b(text, key=pepper, digest_size=32).hexdigest()
            for pepper in self._peppers
        ]

    def _handles(self, text: str) -> list[str]:
        return [key.rpartition(":")[2] for key in self._keys(text)]

    def _tags(self, user_id: str) -> list[str]:
        """The tag of a user's sessions under the secret key in use, and under each older one."""
        return [_short(user_id, pepper, b"user") for pepper in self._peppers]

    def _list_key(self, tag_or_id: str) -> str:
        return _prefix(tag_or_id) + "of"

    # One session

    def load(self, session_id: str) -> Record | None:
        """Read a session and slide its idle timeout, in one round trip; None when there is none."""
        keys = self._keys(session_id)
        tag = session_id[:_TAG_LENGTH]
        # Only the reply says whose session it is: the tag's last owner is an assumption.
        prefetch, owner = self._prefetch, self._owners.get(tag)
        load = self._load(keys, (self._now(), self._idle, self._slide))
        commands = [self._get_generation, load]
        if prefetch is not None and owner is not None:
            commands.append(prefetch(owner))
        try:
            generation, fields, *replies = self._ask(*commands)
        except ReplyError as error:
            if owner is not None:
                # One of the two keys is damaged. Load again, without the other.
                self._owners.pop(tag, None)
                return self.load(session_id)
            if error.code != "WRONGTYPE":
                raise StoreUnavailable(f"redis: {error}") from error
            generation, fields = self._generation, 0
        self._generation = generation or b""
        if fields is None:
            return None
        record = _read(fields)
        if record is None:
            # The key only: the content can be confidential.
            log.error("stored session %s is damaged and counts as absent", keys[0])
            return None
        if record.own.get(b"@generation", b"") != self._generation:
            return None
        if owner is not None:
            record.prefetched = (prefetch, owner, replies[0])
        return record

    def prefetch(self, session_id: str, user_id: str, command: Callable[[str], Command]) -> None:
        """Send `command(user_id)` with each later load of this user's sessions."""
        self._prefetch = command
        tag = session_id[:_TAG_LENGTH]
        if tag not in self._owners and len(self._owners) >= _OWNERS:
            self._owners.clear()
        self._owners[tag] = user_id

    def create(
        self,
        session_id: str,
        fields: Fields,
        *,
        listed: bool,
        replaces: str | None = None,
        forget: bool = True,
        generation: bytes | None = None,
    ) -> bool:
        """Store a new session, `listed` in its user's list.

        Ends the session that it `replaces`, and its remember token if `forget`. False when the
        remember token that logged it in has ended, or all sessions of the `generation` from which
        it takes its contents; then there is no such session.
        """
        keys = [self._key(session_id)]
        if listed:
            keys.append(self._list_key(session_id))
            if (remember := fields.get(b"@remember")) is not None:
                keys.append(_prefix(session_id) + remember.decode())
        lifetimes = (self._idle, self._absolute, self.handle(session_id))
        ending = [self._ending(replaces, forget)] if replaces else []
        return self._put(keys, lifetimes, fields, ending, generation)

    def _put(
        self,
        keys: list[str],
        lifetimes: tuple[int, int, str],
        fields: Fields,
        ending: Iterable[Command] = (),
        source: bytes | None = None,
    ) -> bool:
        while True:
            believed = self._generation if source is None else source
            arguments = [self._now(), *lifetimes, self._most, keys[0].rpartition(":")[0] + ":"]
            arguments += chain(*fields.items(), (b"@generation", believed))
            create = self._create_listed if len(keys) > 1 else self._create
            command = create(keys, arguments)
            generation, *_, done = self._ask(self._get_generation, *ending, command)
            self._generation = generation or b""
            if self._generation == believed:
                return bool(done)
            if source is not None:
                return False
            # All sessions were ended since this process last looked: repeat with the new number.

    def save(self, session_id: str, changed: Fields, removed: Iterable[bytes]) -> int:
        """Write the changes. 0, with nothing written, when the session has ended.

        2 when no key is left and nobody is logged in: the session has then ended.
        """
        (done,) = self._ask(self._save(self._keys(session_id), _delta(changed, removed)))
        return int(done)

    def move(self, session_id: str, new_id: str, changed: Fields, removed: Iterable[bytes]) -> bool:
        """Give a session a new id with the same tag and write the changes; False when it ended."""
        keys = (self._list_key(session_id), *self._keys(session_id), *self._keys(new_id))
        (done,) = self._ask(self._move(keys, _delta(changed, removed)))
        return bool(done)

    def end(self, session_id: str, generation: bytes | None = None, *, forget: bool = True) -> bool:
        """End a session, and its remember token if `forget`.

        False when it had ended before, alone or with its `generation`.
        """
        in_force, was_in_force = self._ask(self._get_generation, self._ending(session_id, forget))
        return bool(was_in_force) and generation in {None, in_force or b""}

    def _ending(self, session_id: str, forget: bool) -> Command:
        keys = (self._list_key(session_id), *self._keys(session_id))
        return self._end(keys, (self._now(), self._idle, _prefix(session_id) if forget else ""))

    # The sessions of one user, and all sessions

    def sessions_of(self, user_id: str, current: str | None) -> list[SessionInfo]:
        """A user's sessions, last seen first. The one with the handle `current` is marked."""
        times = (self._now(), self._idle)
        listings = [
            self._list((self._list_key(tag),), (*times, _prefix(tag)))
            for tag in self._tags(user_id)
        ]
        generation, *lists = self._ask(self._get_generation, *listings)
        in_force = self._generation = generation or b""
        found = [
            SessionInfo(
                handle=handle.decode(),
                created=_time(born),
                last_seen=_time(seen),
                address=(address or b"").decode(errors="replace"),
                user_agent=(agent or b"").decode(errors="replace"),
                current=handle.decode() == current,
            )
            for handle, born, seen, its_generation, address, agent in chain(*lists)
            if (its_generation or b"") == in_force
        ]
        return sorted(found, key=lambda line: line.last_seen, reverse=True)

    def revoke(self, user_id: str, *, only: str = "", but: str = "") -> int:
        """End one session of a user, or all but one, by handle; return how many were ended.

        With the one end those that the same remember token has begun.
        """
        tags = self._tags(user_id)
        return sum(self._ask(*(self._revocation(tag, only, but) for tag in tags)))

    def _revocation(self, tag_or_id: str, only: str, but: str = "") -> Command:
        return self._revoke((self._list_key(tag_or_id),), (_prefix(tag_or_id), only, but))

    def revoke_everybody(self) -> None:
        """End all sessions, those without a user too. The cost does not grow with their number."""
        self._ask(self._end_all(["session:generation"]))

    # Remember tokens: a session's tag, a name, and a secret that changes with each use

    @staticmethod
    def is_token(text: str) -> bool:
        """Whether it has the form of a remember token."""
        return _TOKEN.fullmatch(text) is not None

    def is_token_of(self, user_id: str, token: str) -> bool:
        """Whether a remember token is one of this user."""
        return self.is_token(token) and token.startswith(tuple(self._tags(user_id)))

    def token_handle(self, token: str) -> str:
        """The name of a remember token in Redis. It stays the same when the token is replaced."""
        return self._token_handles(token)[0]

    def _token_handles(self, token: str) -> list[str]:
        name = token[_TAG_LENGTH : 2 * _TAG_LENGTH]
        return [f"remember-{_short(name, pepper, b'token')}" for pepper in self._peppers]

    def new_token(self, user_id: str, fields: Fields, seconds: int) -> str:
        """Store a remember token of a user that ends after `seconds`, and return it."""
        tag = self._tags(user_id)[0]
        token = tag + secrets.token_urlsafe(TAG_BYTES) + secrets.token_urlsafe(SECRET_BYTES)
        handle, milliseconds = self.token_handle(token), seconds * 1000
        fields = {**fields, b"@token": self.handle(token).encode()}
        keys = [_prefix(tag) + handle, self._list_key(tag)]
        self._put(keys, (milliseconds, milliseconds, handle), fields)
        return token

    def redeem(self, token: str) -> tuple[str, str, str, int, str | None] | None:
        """Replace a valid token: its user, login and epoch, the seconds left, the next token.

        The next token follows from this one, so requests in parallel all get the same. It is None
        when the token is of an older secret key: then a new one must take its place.
        """
        following = [self._following(token, pepper) for pepper in self._peppers]
        hashes = zip(self._handles(token), map(self.handle, following), strict=True)
        redemptions = [
            self._redeem(
                (_prefix(token) + handle, self._list_key(token)),
                (self._now(), *pair, GRACE_MS, handle, _prefix(token)),
            )
            for handle, pair in zip(self._token_handles(token), hashes, strict=True)
        ]
        generation, *replies = self._ask(self._get_generation, *redemptions)
        self._generation = generation or b""
        # A token has one key, and under that one its name.
        place = next((place for place, each in enumerate(replies) if each is not None), None)
        if place is None:
            return None
        reply = replies[place]
        user, *rest = (field.decode(errors="replace") for field in reply[:4])
        if not rest:
            log.warning("user %s: an old remember token was used, and its sessions are ended", user)
            return None
        login, epoch, its_generation = rest
        if its_generation.encode() != self._generation:
            return None
        return user, login, epoch, int(reply[4]) // 1000, following[0] if place == 0 else None

    @staticmethod
    def _following(token: str, pepper: bytes) -> str:
        secret = hashlib.blake2b(
            token.encode(), key=pepper, digest_size=SECRET_BYTES, person=b"next token"
        )
        text = base64.urlsafe_b64encode(secret.digest()).decode().rstrip("=")
        return token[: 2 * _TAG_LENGTH] + text

    def prolong(self, token: str, seconds: int) -> bool:
        """Let a token end after `seconds`; False when it is not valid."""
        arguments = (self._now(), self.handle(token), seconds * 1000, self.token_handle(token))
        (done,) = self._ask(self._prolong(self._token_keys(token), arguments))
        return bool(done)

    def forget(self, token: str) -> None:
        """End a token and the sessions that belong to it."""
        handles = self._token_handles(token)
        self._ask(*(self._revocation(token, handle) for handle in handles))

    def _token_keys(self, token: str) -> tuple[str, str]:
        return _prefix(token) + self.token_handle(token), self._list_key(token)

    def _ask(self, *commands: Command) -> list[Any]:
        return self.client.pipeline(commands)

    def _now(self) -> Argument:
        return "" if self._clock is None else round(self._clock() * 1000)


def _short(text: str, pepper: bytes, person: bytes) -> str:
    digest = hashlib.blake2b(text.encode(), key=pepper, digest_size=TAG_BYTES, person=person)
    return base64.urlsafe_b64encode(digest.digest()).decode()


def _prefix(tag_or_id: str) -> str:
    return f"session:{{{tag_or_id[:_TAG_LENGTH]}}}:"


def field_of(key: str) -> bytes:
    """The name of the field that holds a key of the app."""
    return (f"@{key}" if key.startswith("@") else key).encode()


def _read(fields: Any) -> Record | None:
    """Decode a stored hash; None when this store cannot have written it."""
    raw: dict[bytes, bytes] = {}
    values: dict[str, Any] = {}
    own: dict[bytes, bytes] = {}
    try:
        pairs = iter(fields)
        for name, stored in zip(pairs, pairs, strict=True):
            if name[:1] == b"@" and name[1:2] != b"@":
                own[name] = stored
            else:
                values[name.removeprefix(b"@").decode()] = codec.decode(stored)
                raw[name] = stored
    except Exception:  # a decoder can raise anything for foreign bytes
        return None
    return Record(raw, values, own)


def _delta(changed: Fields, removed: Iterable[bytes]) -> list[Argument]:
    names = list(removed)
    return [len(names), *names, *chain(*changed.items())]


def _time(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def _lua(name: str) -> str:
    return (_SCRIPTS / f"{name}.lua").read_text()
