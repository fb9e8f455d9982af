"""`flask.session`: a mapping that is read from Redis at its first use and writes only changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Self

from flask import Request
from flask.sessions import SessionMixin

from ..redis_client import Command, StoreUnavailable
from .codec import IMMUTABLE, encode, text_of
from .store import Prefetched, SessionStore, field_of

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
# Keys of Flask-Login: setting and deleting them is its login, re-authentication and logout.
_LOGIN, _FRESH, _REMEMBER = "_user_id", "_fresh", "_remember"
# Key of Flask's flash(). Messages that nobody fetches are bounded: the newest stay.
_FLASHES, _MOST_FLASHES, _FLASH_BYTES = "_flashes", 20, MAX_BYTES // 4
# Returned by `RedisSession.commit` when the browser must delete its cookie.
FORGET = ""


class SessionTooLarge(ValueError):
    """The session would exceed `MAX_BYTES`. The stored session is not changed."""


class RedisSession(SessionMixin):
    """A session, loaded at the first access to it.

    An access raises StoreUnavailable when Redis cannot be asked: such a session never counts as
    empty. When the response is made, the keys are written whose values differ, also inside. If the
    session has ended meanwhile, the changes are dropped.
    """

    def __init__(self, store: SessionStore, request: Request, cookie_name: str) -> None:
        self._store = store
        self._request = request
        self._cookie_name = cookie_name
        # The id under which Redis holds this session; None for one that is not stored yet.
        self._id: str | None = None
        self._raw: dict[bytes, bytes] = {}
        self._own: dict[bytes, bytes] = {}
        self._values: dict[Any, Any] | None = None
        # Keys that can have changed, with the new value's bytes, or None for a value that can still
        # change inside: encoded at the end.
        self._suspect: dict[Any, bytes | None] = {}
        self._removing = False
        self._rotating = False
        self._binding: dict[bytes, bytes] = {}
        # Whether Flask-Login's key caused the binding.
        self._follows_login = False
        self._remember: bytes | None = None
        self._forget = True
        self.remember_cookie: Any = None  # a RememberCookie, set by the interface
        self._user_id: str | None = None
        self._prefetched: Prefetched = (None, None, None)
        self._ended: str | None = None
        # None if nothing was read from it.
        self._ended_generation: bytes | None = None
        self._committed = False
        # Whether the session had ended when its changes were to be written.
        self.lost = False
        self.modified = False
        # Whether the browser must delete what else it keeps for this site.
        self.logged_out = False

    # What the app does with it

    def rotate(self) -> None:
        """Change the id, where the session gains or loses rights. `bind` includes it."""
        self._load()
        self._rotating = True

    def bind(self, user_id: str, epoch: str = "") -> None:
        """Make this the session of an authenticated user: call it at login.

        The session gets a new id and is listed and revoked with the user's others. Its absolute
        lifetime begins now. Its contents are kept, unless it belonged to another user: then it
        starts empty, so call `bind` before you write.

        `epoch` closes a race: a login that checks the password just before it is changed and calls
        `bind` just after. Pass any text that changes with the password and is read in the same
        round trip as its hash; in the user loader, refuse a session with another `epoch`.
        """
        if not user_id:
            raise ValueError("bind: a session needs the id of its user")
        if self.user_id not in {None, user_id}:
            self._begin_anew(forget=True)
        self._user_id = user_id
        self._follows_login = False
        self._binding = {
            b"@user": user_id.encode(),
            b"@epoch": epoch.encode(),
            b"@address": (self._request.remote_addr or "").encode(),
            b"@agent": self._request.user_agent.string[:200].encode(errors="replace"),
        }

    def destroy(self) -> None:
        """Log out: end the session and its remember token, and clear what the browser keeps.

        A key set afterwards begins a new session, and the browser is then not cleared.
        """
        self._begin_anew(forget=True)
        self.logged_out = True

    def unbind(self) -> None:
        """Log out and keep the contents, in a session without a user and with a new id."""
        kept = self._load()
        self._begin_anew(forget=True)
        self._values, self._suspect = kept, dict.fromkeys(kept)

    def clear(self) -> None:
        """Remove everything. An emptied session does not keep its id; a remember token remains."""
        self._begin_anew(forget=False)

    def _begin_anew(self, *, forget: bool) -> None:
        presented = self._request.cookies.get(self._cookie_name)
        if self._ended is None and self._store.is_id(presented):
            self._ended = presented
            self._ended_generation = self._own.get(b"@generation")
        self._id = self._user_id = self._remember = None
        self._raw, self._own, self._values, self._binding = {}, {}, {}, {}
        self._prefetched = (None, None, None)
        self._suspect = {}
        self._rotating = self._removing = False
        self._forget = forget
        self.modified = True

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

    @property
    def remember(self) -> str | None:
        """The handle of the remember token that the session belongs to, if any."""
        self._load()
        handle = self._remember or self._own.get(b"@remember")
        return None if handle is None else handle.decode(errors="replace")

    @remember.setter
    def remember(self, handle: str) -> None:
        self._remember = handle.encode()
        if not self._binding and self._user_id is not None and b"@handle" in self._own:
            # The token is of the secret key in use, and so must its session be.
            self.bind(self._user_id, self.epoch)

    def begin(self, user_id: str, epoch: str, login: str) -> None:
        """Log in as Flask-Login does, with the user of a remember token."""
        self.bind(user_id, epoch)
        self[_LOGIN], self[_FRESH] = login, False
        self._follows_login = True

    def prefetched(self, command: Callable[[str], Command]) -> Any:
        """The reply to `command(user_id)` if it was read with the session, else None.

        From the first call on, each load of this user's sessions in this process includes it.
        """
        user_id = self.user_id
        if user_id is None or self._id is None:
            return None
        self._store.prefetch(self._id, user_id, command)
        # The owner was assumed when the session was loaded: check it.
        return self._prefetched[2] if self._prefetched[:2] == (command, user_id) else None

    @property
    def handle(self) -> str | None:
        """Its name in `sessions_of`, useless as a cookie; None for one not stored yet."""
        self._load()
        if self._id is None:
            return None
        return self._own.get(b"@handle", b"").decode() or self._store.handle(self._id)

    @property
    def touched(self) -> bool:
        """Whether this response depends on the session."""
        return self._values is not None

    # A mapping

    def __getitem__(self, key: str) -> Any:
        value = self._load()[key]
        if type(value) not in IMMUTABLE:
            self._suspect[key] = None
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        """Raises TypeError, naming key and type, for what cannot be stored, or SessionTooLarge."""
        if key == _FLASHES:
            value = _newest(value)
        encoded = _encoded(key, value)
        values = self._load()
        anew = not self._binding or (self._follows_login and values.get(key) != value)
        if key == _LOGIN and value and anew:
            self.bind(str(value))
            self._follows_login = True
        elif key == _FRESH and value:
            self.rotate()
        self._load()[key] = value
        self._suspect[key] = encoded if type(value) in IMMUTABLE else None
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self._load()[key]
        self._suspect.pop(key, None)
        self._removing = self.modified = True
        if key == _LOGIN and self._user_id is not None:
            self.unbind()

    def __contains__(self, key: object) -> bool:
        if key == _REMEMBER and self._values is None:
            # Flask-Login asks this after each request, and never leaves the key in the session.
            return False
        return key in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._load().keys())

    def __len__(self) -> int:
        return len(self._load())

    def popitem(self) -> tuple[str, Any]:
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the session is empty")

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __or__(self, other: dict[str, Any]) -> dict[str, Any]:
        return self.copy() | other

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:
        return other | self.copy()

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]  # as in dict, | makes a dict
        self.update(other)
        return self

    # Round trips

    def _load(self) -> dict[Any, Any]:
        values = self._values
        if values is None:
            presented = self._request.cookies.get(self._cookie_name)
            record = self._store.load(presented) if self._store.is_id(presented) else None
            values = self._values = {} if record is None else record.values
            if record is not None:
                self._id, self._raw, self._own = presented, record.raw, record.own
                self._prefetched = record.prefetched
                self._user_id = self._stored_user()
        return values

    def commit(self, *, refresh: bool = False) -> str | None:
        """Write the changes, in at most one round trip; in two to replace another session.

        Returns the id for the browser's cookie, `FORGET`, or None when the cookie is right already;
        with `refresh` that of a permanent session never is. Raises StoreUnavailable,
        SessionTooLarge, and TypeError for a value that cannot be stored. The stored session is then
        unchanged.
        """
        if self._values is None or self._committed:
            return None
        self._committed = True
        changed, removed = self._difference(self._values)
        if self._remember is not None:
            changed[b"@remember"] = self._remember
        # A session of another user, or of an older secret key, cannot keep its tag.
        if self._binding and (
            self._id is None or self._user_id != self._stored_user() or b"@handle" in self._own
        ):
            kept = {name: raw for name, raw in self._raw.items() if name not in removed}
            return self._create_bound({**kept, **changed, **self._binding})
        if self._id is None:
            return self._commit_unstored(changed)
        if self._rotating or self._binding:
            new_id = self._store.new_id(like=self._id)
            changed.update(self._binding)
            moved = self._store.move(self._id, new_id, changed, removed)
            return new_id if self._in_force(moved) else None
        if changed or removed:
            try:
                written = self._store.save(self._id, changed, removed)
            except StoreUnavailable as error:
                if changed.keys() | set(removed) != {_FLASHES.encode()}:
                    raise
                # The request has done what the message reports, so it must not look failed.
                log.warning("a flashed message is lost: %s", error)
                written = 1
            if written != 1:
                return FORGET if self._in_force(written == 2) else None
        anew = field_of("_permanent") in (*changed, *removed)
        return self._id if anew or (self.permanent and (refresh or self.modified)) else None

    def _commit_unstored(self, changed: dict[bytes, bytes]) -> str | None:
        ended, generation = self._ended, self._ended_generation
        in_force = ended is None or self._store.end(ended, generation, forget=self._forget)
        if not in_force and generation is not None:
            # It was ended elsewhere: nothing that this request read from it may be stored again.
            return FORGET
        if changed:
            return self._create(changed, generation)
        return FORGET if ended is not None else None

    def _create_bound(self, fields: dict[bytes, bytes]) -> str | None:
        if self._id is None or self._user_id != self._stored_user():
            return self._create(fields)
        # It moves to the secret key in use. If it has ended, it must not log in again.
        generation = self._own.get(b"@generation", b"")
        in_force = self._store.end(self._id, generation, forget=self._forget)
        return self._create(fields, generation) if self._in_force(in_force) else None

    def _create(self, fields: dict[bytes, bytes], generation: bytes | None = None) -> str:
        new_id = self._store.new_id(user_id=self._user_id)
        created = self._store.create(
            new_id,
            fields,
            listed=self._user_id is not None,
            replaces=self._id or self._ended,
            forget=self._forget,
            generation=generation,
        )
        return new_id if self._in_force(created) else FORGET

    def _in_force(self, written: bool) -> bool:
        if not written:
            self.lost = True
            log.info("a session ended while a request was using it; the changes are dropped")
        return written

    def _stored_user(self) -> str | None:
        user = self._own.get(b"@user")
        return None if user is None else user.decode(errors="replace")

    def _difference(self, values: dict[Any, Any]) -> tuple[dict[bytes, bytes], list[bytes]]:
        raw = self._raw
        changed: dict[bytes, bytes] = {}
        removed: list[bytes] = []
        for key, known in self._suspect.items():
            encoded = _encoded(key, values[key]) if known is None else known
            if raw.get(name := field_of(text_of(key))) != encoded:
                changed[name] = encoded
        if self._removing:
            kept = {field_of(text_of(key)) for key in values}
            removed = [name for name in raw if name not in kept]
        if changed:
            _check_size({name: raw[name] for name in raw if name not in removed} | changed)
        return changed, removed


def _newest(flashes: Any) -> Any:
    kept = flashes[-_MOST_FLASHES:]
    while kept and len(encode(kept)) > _FLASH_BYTES:
        kept = kept[1:]
    return kept


def _check_size(fields: dict[bytes, bytes]) -> None:
    sizes = {name.decode(): len(name) + len(value) for name, value in fields.items()}
    if (total := sum(sizes.values())) > MAX_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise SessionTooLarge(
            f"the session would take {total} bytes, and the limit is {MAX_BYTES}; its largest "
            f"key is {largest!r} with {sizes[largest]}. Keep such data in a store of its own "
            "and only its id in the session"
        )


def _encoded(key: object, value: object) -> bytes:
    try:
        encoded = encode(value)
        name = field_of(text_of(key))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"session[{key!r}] cannot be stored: {error}") from error
    if len(encoded) > MAX_BYTES:
        _check_size({name: encoded})
    return encoded
