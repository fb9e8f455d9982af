"""What `flask.session` is: a mapping that asks Redis on first touch and writes what has changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flask import Request
from flask.sessions import SessionMixin

from .codec import IMMUTABLE, encode
from .errors import SessionTooLarge
from .store import SessionStore, field_of, moment

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
# What `RedisSession.commit` returns when the browser is to forget its cookie.
FORGET = ""


class RedisSession(SessionMixin):
    """A session, loaded when the first key of it is asked for and not before.

    Any read, write, `in` or `len` is a touch; so are `user_id`, `epoch`, `created_at`. A touch of
    a session whose cookie Redis cannot be asked about raises StoreUnavailable: it is never taken
    for an empty one.

    Changes are written when the response is made: only keys whose value is not what it was, nested
    ones included. When the session has ended meanwhile they are dropped.
    """

    def __init__(self, store: SessionStore, request: Request, cookie_name: str) -> None:
        self._store = store
        self._request = request
        self._cookie_name = cookie_name
        # The id under which Redis holds this session; None for one that is not stored (yet).
        self._id: str | None = None
        self._raw: dict[bytes, bytes] = {}
        self._own: dict[bytes, bytes] = {}
        self._values: dict[str, Any] | None = None
        # Keys whose value was set, or given out and open to change from inside.
        self._suspect: set[str] = set()
        self._rotating = False
        self._binding: dict[bytes, bytes] = {}
        self._user_id: str | None = None
        self._along: tuple[str, Any] | None = None
        self._ended: str | None = None
        self._ended_generation: bytes | None = None
        self._committed = False

    # What the app does with it

    def rotate(self) -> None:
        """Change the id with this response; the old one is gone in the same moment.

        For everything that changes what the session may do: re-authentication, another role,
        another password. `bind` does it by itself.
        """
        self._load()
        self._rotating = True

    def bind(self, user_id: str, epoch: str = "") -> None:
        """Make this the session of a user who has just proved who they are: call it at login.

        It gets a new id, appears in `sessions_of(user_id)`, and can be revoked with the user's
        others. Its absolute lifetime begins now. What the session held is carried over, except
        where it was another user's: then it starts empty, so call `bind` before you write.

        Revocation deletes the sessions that there are, atomically, so it also holds for views that
        read only the session. One race is left for the caller: a login that checked the password
        just before it was changed, and gets here just after. Pass as `epoch` any text that the
        user's record changes together with the password (a counter, a random word), read in the
        same trip as the password hash, and in the user loader refuse a session whose `epoch` is
        not the record's.
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
        """End the session here and in Redis, and its cookie with it: logout.

        What is written afterwards (a farewell flash) begins a new session under a new id.
        """
        presented = self._request.cookies.get(self._cookie_name)
        if self._ended is None and self._store.is_id(presented):
            self._ended = presented
            self._ended_generation = self._own.get(b"@generation")
        self._id = self._user_id = None
        self._raw, self._own, self._values, self._binding = {}, {}, {}, {}
        self._along = None
        self._suspect = set()
        self._rotating = False

    def clear(self) -> None:
        """The same as `destroy`: a session without its contents is another session."""
        self.destroy()

    @property
    def user_id(self) -> str | None:
        """Whom `bind` has bound it to."""
        self._load()
        return self._user_id

    @property
    def epoch(self) -> str:
        """What `bind` was given; see there."""
        self._load()
        return (self._binding or self._own).get(b"@epoch", b"").decode(errors="replace")

    @property
    def along(self) -> Any:
        """What `RedisSessionInterface.bring_along` asked for; None if it did not come.

        It came for a guess at whose session this is, and is given out only if that was right.
        """
        self._load()
        owner, reply = self._along or (None, None)
        return reply if owner == self._user_id else None

    @property
    def created_at(self) -> datetime | None:
        """When it was stored first (at login, for a bound one); None for one not stored yet."""
        self._load()
        return moment(self._own[b"@born"]) if b"@born" in self._own else None

    @property
    def handle(self) -> str | None:
        """Its name in `sessions_of`; None for one that is not stored yet. No use as a cookie."""
        self._load()
        return self._store.handle(self._id) if self._id is not None else None

    # What Flask asks of it

    @property
    def touched(self) -> bool:
        """Whether this response depends on the session."""
        return self._values is not None

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether Redis does not hold it yet."""
        self._load()
        return self._id is None

    @property
    def modified(self) -> bool:
        """Whether it differs from what is stored. Setting it is allowed and not needed."""
        if self._values is None:
            return False
        changed, removed = self._difference(self._values)
        return bool(changed or removed)

    @modified.setter
    def modified(self, _: bool) -> None:
        """Changes are found by comparing, nested ones too."""

    # A mapping

    def __getitem__(self, key: str) -> Any:
        value = self._load()[key]
        if type(value) not in IMMUTABLE:
            self._suspect.add(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Mapping's own goes through an exception for every key that is not there."""
        return self[key] if key in self._load() else default

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are text, not {type(key).__name__}: {key!r}")
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

    # The trips

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
                self._along = record.along
                user = record.own.get(b"@user")
                self._user_id = None if user is None else user.decode(errors="replace")
        return values

    def commit(self) -> str | None:
        """Write what has changed, in at most one round trip.

        Returns the id that the browser is to be told, `FORGET`, or None when its cookie is right.
        Raises StoreUnavailable, SessionTooLarge, and TypeError or ValueError for a value that
        cannot be stored; then the stored session is what it was.
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
            return (
                new_id if self._held(self._store.move(self._id, new_id, changed, removed)) else None
            )
        if (changed or removed) and not self._held(self._store.save(self._id, changed, removed)):
            return None
        permanence = field_of("_permanent")
        return self._id if permanence in changed or permanence in removed else None

    def _commit_unstored(self, changed: dict[bytes, bytes]) -> str | None:
        ended = self._ended
        if ended is not None and not self._store.end(ended, self._ended_generation):
            # Somebody else has ended it: nothing that this request knew may outlive it.
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

    def _held(self, done: bool) -> bool:
        if not done:
            log.info("a session ended while a request was using it; the changes are dropped")
        return done

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
                f"the session would take {total} bytes, and {MAX_BYTES} is the limit; its largest "
                f"key is {largest!r} with {sizes[largest]}. Keep such data in a store of its own "
                "and only its id in the session"
            )


def _encoded(key: str, value: object) -> bytes:
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"session[{key!r}] cannot be stored: {error}") from error
