"""The SecurityManager: accounts, with every collaborator replaceable.

Each collaborator is a class attribute. To replace one, set it in a subclass:

    class Mine(SecurityManager):
        user_store = SqliteUsers

    app = create_app(security_manager_class=Mine)
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import cast

from flask import Flask, Response, abort, has_request_context, redirect, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import TooManyRequests

from app.errors import wants_json
from app.redis_client import Client, StoreUnavailable
from app.security import browser, events, login, names, passwords
from app.security.delays import LoginDelays
from app.security.forms import LoginForm, PasswordForm, ReauthenticationForm, RegistrationForm
from app.security.hashing import Argon2Hasher, HashingBusy, HashingGate, at_low_priority
from app.security.login import LoginState, loaded_user
from app.security.next_page import this_page
from app.security.redis_users import RedisUserStore
from app.security.roles import ROLES, Role
from app.security.users import Credentials, NameTaken, User, UserStore
from app.sessions import RedisSession, RedisSessionInterface
from app.settings import Settings
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

# The session's key for the time at which the user last gave the password. False: not in this
# session. It is Flask-Login's key, so that its fresh_login_required asks for the same.
_FRESH = "_fresh"


class TooManyTries(TooManyRequests):
    """This account has a delay before the next attempt: `retry_after`, in seconds."""


class UserGone(Exception):
    """The account was deleted meanwhile; for its owner's new password: or changed by others."""


class SecurityManager:
    """Users, passwords, roles and their sessions; `app.extensions["security"]` once constructed."""

    user_model: type[User] = User
    """Override to set your own User model: a subclass of User."""

    user_store: Callable[[type[User], Client], UserStore] = RedisUserStore
    """Override to store users elsewhere. Called with the user model and the app's Redis client."""

    password_hasher: type[Argon2Hasher] = Argon2Hasher
    """Override to set your own password hash or its parameters."""

    session_interface: type[RedisSessionInterface] = RedisSessionInterface
    """Override to set your own session interface: a subclass of RedisSessionInterface."""

    login_state: type[LoginState] = LoginState
    """Override to load the current user in another way than from the session."""

    login_form: type[LoginForm] = LoginForm
    """Override to set your own login form."""

    registration_form: type[RegistrationForm] = RegistrationForm
    """Override to add fields; what `details()` returns is stored with the user."""

    reauthentication_form: type[ReauthenticationForm] = ReauthenticationForm
    """Override to set your own form that asks for the password again."""

    password_form: type[PasswordForm] = PasswordForm
    """Override to set your own form for a change of password."""

    role_catalogue: Iterable[Role] = ROLES
    """Override to set your own roles."""

    home_endpoint: str = "front.home"
    """Override to change the page after a login that no other page required."""

    fresh_for: int = 15 * 60
    """Override to set after how many seconds the password is asked for again."""

    def __init__(self, app: Flask, settings: Settings, redis: Client) -> None:
        self.settings = settings
        self.clock: Callable[[], float] = time.time
        self.roles: Mapping[str, Role] = {role.name: role for role in self.role_catalogue}
        self.users: UserStore = type(self).user_store(self.user_model, redis)
        self.hasher = self.password_hasher()
        # The password for an unknown name is verified against this hash.
        self._nobodys_hash = self.hasher.hash(secrets.token_hex(16))
        # The workers of one copy of the stack share the key, and no other copy has it.
        self.gate = HashingGate(hashlib.sha256(b"gate" + settings.secret_key).hexdigest()[:16])
        self.delays = LoginDelays(redis, settings.secret_key)
        self.sessions = self.session_interface(
            redis,
            key=settings.secret_key,
            idle=settings.session_idle,
            absolute=settings.session_absolute,
            tls=settings.tls,
        )
        # Without "cookies": the browser stays known to the login delays.
        self.sessions.clear_site_data = '"cache", "storage"'

        app.extensions["security"] = self
        self.sessions.init_app(app)
        self.login_state(
            self.load_user, self._begin, self._end, self._refuse_anonymous, self._refuse_stale
        ).init_app(app)
        app.after_request(_keep_private)
        browser.init_app(app, self.sessions)
        passwords.common_passwords()  # before uWSGI forks, so the workers share the list

        self._demo_missing = settings.demo
        self._ensure_demo()

    # Accounts

    def register(
        self,
        name: str,
        password: str,
        *,
        roles: Iterable[str] = (),
        details: Mapping[str, str] | None = None,
    ) -> User:
        """Create an account. Raises BadName, WeakPassword, NameTaken or HashingBusy."""
        names.check_new(name)
        canonical_name = names.canonical(name)
        self.check_new_password(password, name)
        if self._demo_missing and canonical_name == DEMO_NAME and password != DEMO_PASSWORD:
            raise NameTaken(name)  # the demo account has yet to be created
        user = self.user_model(secrets.token_hex(16), name, self._known(roles))
        user.created_at, user.details = self.clock(), details or {}
        self.users.create(user, canonical_name, self._hash(password))
        events.record("user_created", user=user.id, roles=",".join(user.roles))
        return user

    def check_new_password(self, password: str, name: str) -> None:
        """Raise WeakPassword unless user *name* may set *password*. Override for other rules."""
        passwords.check(password, context=(name, self.settings.name))

    def set_password(self, user: User, password: str) -> None:
        """Set a password and end all other sessions. Raises WeakPassword or HashingBusy."""
        self.check_new_password(password, user.name)
        self._update(user, lambda _user: None, self._hash(password))
        events.record("authn_password_change", user=user.id)

    def set_active(self, user: User, active: bool) -> None:
        """Enable or disable an account. Disabling ends its sessions."""

        def change(found: User) -> None:
            found.is_active = active

        self._update(user, change)
        events.record("user_enabled" if active else "user_disabled", user=user.id)

    def delete(self, user: User) -> None:
        """Delete an account and end its sessions. The user's content is not deleted."""
        self.users.delete(user, names.canonical(user.name))
        self.sessions.revoke_user(user.id)
        events.record("user_deleted", user=user.id)

    def change_roles(
        self, user: User, *, grant: Iterable[str] = (), revoke: Iterable[str] = ()
    ) -> None:
        """Change roles and end the user's sessions. Raises KeyError for an unknown new role."""
        granted, revoked = self._known(grant), tuple(revoke)

        def change(found: User) -> None:
            found.roles = tuple(sorted(set(found.roles).difference(revoked).union(granted)))

        self._update(user, change)
        changed = {"granted": ",".join(granted), "revoked": ",".join(revoked)}
        events.record("privilege_permissions_changed", user=user.id, **changed)

    def permissions_of(self, user: User) -> frozenset[str]:
        """What *user* may do: what any of their roles permits. Asked on each request.

        Override to decide in another way. A role that is gone permits nothing.
        """
        granted = (self.roles[name].permissions for name in user.roles if name in self.roles)
        return frozenset[str]().union(*granted)

    def find(self, name: str) -> User | None:
        """The user with this name, in any spelling."""
        try:
            found = self.users.by_name(names.canonical(name))
        except names.BadName:
            return None
        return None if found is None else found.user

    def end_sessions(self, user: User) -> None:
        """End all sessions of *user* from the next request on."""
        self.sessions.revoke_user(user.id)
        events.record("session_revoked", user=user.id)

    def end_all_sessions(self) -> None:
        """End the sessions of all users from the next request on."""
        self.sessions.revoke_everybody()
        events.warn("session_revoked", user="*")

    # Login and logout

    def authenticate(self, name: str, password: str, address: str) -> User | None:
        """The user with this name and password, or None.

        A wrong password, an unknown name and a disabled account take one hash and the same round
        trips, so they cannot be told apart. Raises TooManyTries and HashingBusy alike for all.
        """
        self._ensure_demo()
        try:
            canonical_name = names.canonical(name)
        except names.BadName:
            # Handled like an unknown name; no name begins with a dot.
            canonical_name = "." + self.delays.label(name[: names.MAX_LENGTH])
        account = self.delays.label(canonical_name)
        here = _here(address)
        with self.gate():  # first, because in a flood of logins the lookups cost too
            wait = self.delays.remaining(canonical_name, *here)
            if wait:
                events.warn("authn_login_delayed", account=account, wait=wait)
                raise TooManyTries(retry_after=wait)
            found = self.users.by_name(canonical_name)
            password_hash = self._nobodys_hash if found is None else found.password_hash
            right = at_low_priority(lambda: self.hasher.verify(password_hash, password))
        if found is None or not right or not found.user.is_active:
            self.delays.failed(canonical_name, *here)
            events.warn("authn_login_fail", account=account)
            return None
        self.delays.succeeded(canonical_name, *here)
        self._rehash(found, password)
        return found.user

    def recognise(self, user: User, address: str) -> None:
        """Record that *user* uses this browser and address, for the login delays."""
        self.delays.succeeded(names.canonical(user.name), *_here(address))

    def log_in(self, user: User, *, remember: bool = False) -> None:
        """Make *user* the owner of a new session and end the current one with its id.

        *remember*: log the user in again when this session has ended, for REMEMBER_COOKIE_DURATION.
        """
        current_session().clear()
        login.log_in(user, remember=remember)

    def reauthenticate(self, user: User, password: str, address: str) -> bool:
        """Make the session fresh, with a new id, if *password* is right. Raises as authenticate."""
        if self.authenticate(user.name, password, address) != user:
            return False
        self._bind(user)
        current_session()[_FRESH] = float(self.clock())
        login.confirm(user)
        events.record("authn_reauthenticated", user=user.id)
        return True

    def log_out(self) -> None:
        """End the session on the server and in the browser."""
        # Without loading the user: logging out must work while the user store is away.
        login.log_out()

    def is_fresh(self) -> bool:
        """Whether the password was given in this session within the last `fresh_for` seconds."""
        return self._is_recent(session.get(_FRESH))

    def _is_recent(self, given_at: object) -> bool:
        # A time in the future means that the clock was set back; the session is then not fresh.
        return isinstance(given_at, float) and 0 <= self.clock() - given_at < self.fresh_for

    # Each request

    def load_user(self, user_id: str) -> User | None:
        """The user of this request's session; None if disabled, deleted or of another epoch."""
        owned = current_session()
        user = self.users.of_session(owned, user_id)
        # Only Flask-Login's test client begins a session without an epoch, and with True below.
        if user is None or not user.is_active or owned.epoch not in {"", str(user.epoch)}:
            return None
        given_at = owned.get(_FRESH)
        if given_at is True:
            owned[_FRESH] = float(self.clock())
        elif given_at and not self._is_recent(given_at):
            owned[_FRESH] = False
        user.permissions = self.permissions_of(user)
        return user

    def _begin(self, user: User) -> None:
        """A login: of this manager or by Flask-Login's login_user."""
        self._bind(user)
        owned = current_session()
        if owned.get(_FRESH):
            owned[_FRESH] = float(self.clock())
        events.record("authn_login_success", user=user.id)

    def _bind(self, user: User) -> None:
        current_session().bind(user.id, str(user.epoch))
        # For Flask-WTF, in the write of the login: at the first form it fails when Redis is full.
        current_session().setdefault("csrf_token", secrets.token_hex(16))
        user.permissions = self.permissions_of(user)

    def _end(self) -> None:
        """A logout: of this manager or by Flask-Login's logout_user."""
        # logout_user() has taken the user from the session already.
        user_id = current_session().user_id or getattr(loaded_user(), "id", None)
        current_session().destroy()
        if user_id is not None:
            events.record("authn_logout", user=user_id)

    def _update(
        self, user: User, change: Callable[[User], None], password_hash: str | None = None
    ) -> None:
        """Apply *change* to the stored *user* and end their sessions. Raises UserGone.

        It is repeated on top of a change that was made meanwhile. That of one's own password is
        not: the present password was checked before, and may be another one by now.

        The new epoch ends all sessions at once; revoking removes them from the list. The session of
        this request continues, with a new id, if it is the user's own.
        """
        stored: User | None = user
        own_password = password_hash is not None and loaded_user() == user
        while stored is not None:
            change(stored)
            if self.users.update(stored, epoch=stored.epoch + 1, password_hash=password_hash):
                break
            stored = None if own_password else self.users.get(user.id)
        else:
            raise UserGone(user.name)
        change(user)
        user.epoch = stored.epoch + 1
        mine = current_session() if loaded_user() == user else None
        self.sessions.revoke_user(user.id, except_session=mine)
        if mine is not None:
            mine.bind(user.id, str(user.epoch))

    def _refuse_anonymous(self) -> ResponseReturnValue:
        if wants_json():
            abort(401)
        return redirect(url_for("auth.login", next=this_page()))

    def _refuse_stale(self) -> ResponseReturnValue:
        if wants_json():
            abort(401, "Enter your password again at /auth/reauthenticate, then try again.")
        return redirect(url_for("auth.reauthenticate", next=this_page()))

    def _hash(self, password: str) -> str:
        with self.gate():
            return at_low_priority(lambda: self.hasher.hash(password))

    def _rehash(self, found: Credentials, password: str) -> None:
        """Renew a hash that was made with other parameters, while the password is known."""
        if self.hasher.needs_rehash(found.password_hash):
            with suppress(HashingBusy):  # the next login tries again
                fresh = self._hash(password)
                # The same epoch: if the password was changed meanwhile, nothing is written.
                self.users.update(found.user, epoch=found.user.epoch, password_hash=fresh)

    def _known(self, roles: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({self.roles[name].name for name in roles}))

    def _ensure_demo(self) -> None:
        """Create the demo account, at start or, if Redis is away then, at the first login."""
        if not self._demo_missing:
            return
        try:
            if self.find(DEMO_NAME) is None:
                self.register(DEMO_NAME, DEMO_PASSWORD)
        except NameTaken:
            pass  # another worker was faster
        except (StoreUnavailable, HashingBusy) as error:
            events.warn("demo_account_postponed", reason=type(error).__name__)
            return
        self._demo_missing = False


def current_session() -> RedisSession:
    """The session of this request, with its own type instead of Flask's proxy."""
    return cast(RedisSession, session._get_current_object())  # type: ignore[attr-defined]


def _here(address: str) -> tuple[str, str]:
    """Address and browser. On the command line there is no browser."""
    return address, browser.browser_id() if has_request_context() else ""


def _keep_private(response: Response) -> Response:
    """Keep a logged-in user's pages out of caches: the next user of the machine could see them."""
    if loaded_user() is not None:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
