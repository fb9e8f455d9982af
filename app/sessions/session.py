"""`flask.session`: a mapping that is read from Redis at its first use and writes only changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from flask import Request
from flask.sessions import SessionMixin

from ..redis_client import Command
from .codec import IMMUTABLE, encode
from .store import Prefetched, SessionStore, field_of, moment

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
# Returned by `RedisSession.commit` when the browser must delete its cookie.
FORGET = ""


class SessionTooLarge(ValueError):
    """The session would exceed `MAX_BYTES`. The stored session is not changed."""


class RedisSession(SessionMixin):
    """A session, loaded at the first access to one of its keys.

    Any read, write, `in` or `len` is an access, and so are `user_id`, `epoch` and `created_at`. It
    raises StoreUnavailable when Redis cannot be asked: such a session never counts as empty.

    Changes are written when the response is made: only the keys whose values differ, including
    changes inside them. If the session has ended meanwhile, the changes are dropped.
    """

    def __init__(self, store: SessionStore, request: Request, cookie_name: str) -> None:
        self._store = store
        self._request = request
        self._cookie_name = cookie_name
        # The id under which Redis holds this session; None for one that is not stored yet.
        self._id: str | None = None
        self._raw: dict[bytes, bytes] = {}
        self._own: dict[bytes, bytes] = {}
        self._values: dict[str, Any] | None = None
        # Keys that can have changed: set, or read as a mutable value.
        self._suspect: set[str] = set()
        self._rotating = False
        self._binding: dict[bytes, bytes] = {}
        self._user_id: str | None = None
        self._prefetched: Prefetched = (None, None, None)
        self._ended: str | None = None
        self._ended_generation: bytes | None = None
        self._committed = False

    # What the app does with it

    def rotate(self) -> None:
        """Change the id with this response; the old id becomes invalid at the same moment.

        Call it where the session gains or loses rights: re-authentication, a new role or password.
        `bind` includes it.
        """
        self._load()
        self._rotating = True

    def bind(self, user_id: str, epoch: str = "") -> None:
        """Make this the session of an authenticated user: call it at login.

        The session gets a new id, appears in `sessions_of(user_id)`, and is revoked with the user's
        other sessions. Its absolute lifetime begins now. Its contents are kept, unless it belonged
        to another user: then it starts empty, so call `bind` before you write.

        Revocation deletes the existing sessions atomically, so views that read only the session see
        it too. One race is left to the caller: a login that checks the password just before it is
        changed and calls `bind` just after. Pass as `epoch` any text in the user's record that
        changes with the password (a counter, a random word), read in the same round trip as the
        password hash. In the user loader, refuse a session whose `epoch` is not the record's.
        """
        if not user_id:
            raise ValueError("bind: a session needs the id of its user")
        if self.user_id not in {None, user_id}:
            self.destroy()
        self._user_id = user_id
        self._binding = {
            b"@user": user_id.encode(),
            b"@epoch": epoch.encode(),
            b"@address": (self._request.remote_addr or "").encode(),
            b"@agent": self._request.user_agent.string[:200].encode(errors="replace"),
        }

    def destroy(self) -> None:
        """Log out: end the session here and in Redis, and delete its cookie.

        A key that is set afterwards, such as a flash message, begins a new session with a new id.
        """
        presented = self._request.cookies.get(self._cookie_name)
        if self._ended is None and self._store.is_id(presented):
            self._ended = presented
            self._ended_generation = self._own.get(b"@generation")
        self._id = self._user_id = None
        self._raw, self._own, self._values, self._binding = {}, {}, {}, {}
        self._prefetched = (None, None, None)
        self._suspect = set()
        self._rotating = False

    def clear(self) -> None:
        """The same as `destroy`: an emptied session must not keep its id."""
        self.destroy()

    @property
    def user_id(self) -> str | None:
        """The user that `bind` was called with; None for nobody."""
        self._load()
        return self._user_id

    @property
    def epoch(self) -> str:
        """The `epoch` that `bind` was called with."""
        self._load()
        return (self._binding or self._own).get(b"@epoch", b"").decode(errors="replace")

    def prefetched(self, command: Callable[[str], Command]) -> Any:
        """The reply to `command(user_id)`, if it was read in the session's own round trip.

        Else None: send the command yourself. From the first call for a user on, each load of that
        user's sessions in this process includes the command.
        """
        user_id = self.user_id
        if user_id is None or self._id is None:
            return None
        self._store.prefetch(self._id, user_id, command)
        # The owner was assumed when the session was loaded: check it.
        return self._prefetched[2] if self._prefetched[:2] == (command, user_id) else None

    @property
    def created_at(self) -> datetime | None:
        """When it was first stored, or bound to its user; None for one not stored yet."""
        self._load()
        return moment(self._own[b"@born"]) if b"@born" in self._own else None

    @property
    def handle(self) -> str | None:
        """Its name in `sessions_of`, useless as a cookie; None for one not stored yet."""
        self._load()
        return self._store.handle(self._id) if self._id is not None else None

    # Read by Flask

    @property
    def touched(self) -> bool:
        """Whether this response depends on the session."""
        return self._values is not None

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether it is not stored in Redis yet."""
        self._load()
        return self._id is None

    @property
    def modified(self) -> bool:
        """Whether it differs from the stored session. It need not be set."""
        if self._values is None:
            return False
        changed, removed = self._difference(self._values)
        return bool(changed or removed)

    @modified.setter
    def modified(self, _: bool) -> None:
        """Does nothing: changes are found by comparison, nested ones too."""

    # A mapping

    def __getitem__(self, key: str) -> Any:
        value = self._load()[key]
        if type(value) not in IMMUTABLE:
            self._suspect.add(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """As Mapping's, without an exception for each missing key."""
        return self[key] if key in self._load() else default

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are str, not {type(key).__name__}: {key!r}")
        self._load()[key] = value
        self._suspect.add(key)

    def __delitem__(self, key: str) -> None:
        del self._load()[key]
        self._suspect.discard(key)

    def __contains__(self, key: object) -> bool:
        return key in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __repr__(self) -> str:
        # Neither id nor contents: reprs end up in logs.
        return f"<RedisSession {'untouched' if self._values is None else sorted(self._values)}>"

    # Round trips

    def _load(self) -> dict[str, Any]:
        values = self._values
        if values is None:
            presented = self._request.cookies.get(self._cookie_name)
            record = self._store.load(presented) if self._store.is_id(presented) else None
            if record is None:
                values = self._values = {}
            else:
                values = self._values = record.values
                self._id, self._raw, self._own = presented, record.raw, record.own
                self._prefetched = record.prefetched
                user = record.own.get(b"@user")
                self._user_id = None if user is None else user.decode(errors="replace")
        return values

    def commit(self) -> str | None:
        """Write the changes, in at most one round trip.

        Returns the id for the browser's cookie, `FORGET`, or None when the cookie is right already.
        Raises StoreUnavailable, SessionTooLarge, and TypeError or ValueError for a value that
        cannot be stored. The stored session is then unchanged.
        """
        if self._values is None or self._committed:
            return None
        self._committed = True
        changed, removed = self._difference(self._values)
        if self._binding and (self._id is None or self._user_id != self._stored_user()):
            return self._create(self._all_fields(changed))
        if self._id is None:
            return self._commit_unstored(changed)
        if self._rotating or self._binding:
            new_id = self._store.new_id(like=self._id)
            changed.update(self._binding)
            moved = _log_unless(self._store.move(self._id, new_id, changed, removed))
            return new_id if moved else None
        if (changed or removed) and not _log_unless(self._store.save(self._id, changed, removed)):
            return None
        permanence = field_of("_permanent")
        return self._id if permanence in changed or permanence in removed else None

    def _commit_unstored(self, changed: dict[bytes, bytes]) -> str | None:
        ended = self._ended
        if ended is not None and not self._store.end(ended, self._ended_generation):
            # It was ended elsewhere: nothing that this request read from it may be stored again.
            return FORGET
        if changed:
            return self._create(changed)
        return FORGET if ended is not None else None

    def _create(self, fields: dict[bytes, bytes]) -> str:
        new_id = self._store.new_id(user_id=self._user_id)
        self._store.create(
            new_id, fields, listed=self._user_id is not None, replaces=self._id or self._ended
        )
        return new_id

    def _stored_user(self) -> str | None:
        user = self._own.get(b"@user")
        return None if user is None else user.decode(errors="replace")

    def _all_fields(self, changed: dict[bytes, bytes]) -> dict[bytes, bytes]:
        kept = {field_of(key) for key in self._values or ()}
        unchanged = {name: stored for name, stored in self._raw.items() if name in kept}
        return {**unchanged, **changed, **self._binding}

    def _difference(self, values: dict[str, Any]) -> tuple[dict[bytes, bytes], list[bytes]]:
        raw = self._raw
        changed: dict[bytes, bytes] = {}
        removed: list[bytes] = []
        if self._suspect:
            for key in self._suspect:
                name, encoded = field_of(key), _encoded(key, values[key])
                if raw.get(name) != encoded:
                    changed[name] = encoded
        if len(values) < len(raw) + len(changed):
            kept = {field_of(key) for key in values}
            removed = [name for name in raw if name not in kept]
        if changed:
            self._check_size({**raw, **changed}, removed)
        return changed, removed

    @staticmethod
    def _check_size(fields: dict[bytes, bytes], removed: list[bytes]) -> None:
        sizes = {
            name.decode(): len(name) + len(value)
            for name, value in fields.items()
            if name not in removed
        }
        if (total := sum(sizes.values())) > MAX_BYTES:
            largest = max(sizes, key=lambda name: sizes[name])
            raise SessionTooLarge(
                f"the session would take {total} bytes, and the limit is {MAX_BYTES}; its largest "
                f"key is {largest!r} with {sizes[largest]}. Keep such data in a store of its own "
                "and only its id in the session"
            )


def _log_unless(written: bool) -> bool:
    if not written:
        log.info("a session ended while a request was using it; the changes are dropped")
    return written


def _encoded(key: str, value: object) -> bytes:
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"session[{key!r}] cannot be stored: {error}") from error
