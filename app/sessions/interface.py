"""The Flask side: reads the cookie, sets it, and turns a lost write into a 503."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Request, Response, current_app, has_app_context, has_request_context
from flask import request as request_of_context
from flask import session as session_of_request
from flask.sessions import SessionInterface, SessionMixin

from ..redis_client import Client, StoreUnavailable
from .session import FORGET, RedisSession
from .store import Clock, SessionInfo, SessionStore

MIN_KEY_BYTES = 16
_PREFIXES = ("__Host-", "__Secure-")


class RedisSessionInterface(SessionInterface):
    """Sessions in Redis, for one app. `init_app` checks the app's settings and sets it as its own.

    `key`: a secret of the server; None means the app's `SECRET_KEY`. Without it the data in Redis
    is useless.
    `idle`, `absolute`: seconds until an unused session ends, and until any session ends. None means
    1800, or the app's `PERMANENT_SESSION_LIFETIME` if it has one, and 28800, or `idle` if longer.
    `tls`: whether browsers reach the app by https only. Then the cookie is `__Host-…` and Secure,
    so neither a sub-domain nor plain http can set or read it. Otherwise each request's own scheme
    decides.
    `clock`: seconds since the epoch. None means Redis's own clock, which all workers share.

    README.md says what each of Flask's settings does.
    """

    clear_site_data = '"cache", "cookies", "storage"'
    """Sent at logout. "cookies" clears those of apps on sibling sub-domains too."""

    session_class: type[RedisSession] = RedisSession
    """Override to give `flask.session` more methods: a subclass of RedisSession."""

    sessions_per_user = 100
    """A login beyond it ends the user's oldest session. Remember tokens count too."""

    def __init__(
        self,
        client: Client,
        *,
        key: bytes | str | None = None,
        idle: float | None = None,
        absolute: float | None = None,
        tls: bool = True,
        clock: Clock = None,
    ) -> None:
        self._client = client
        self._key = None if key is None else _secret("key", key)
        self._timeouts = idle, absolute
        self._tls = tls
        self._store = SessionStore(client, clock)
        # The settings of the app that the store was configured with.
        self._configured: tuple[object, ...] | None = None
        # Without an app, this checks the timeouts only.
        self._configure([], None)

    def init_app(self, app: Flask) -> None:
        """Keep the app's sessions. Raises ValueError, which names a setting that cannot be obeyed.

        Without this call, an app that has the interface as its `session_interface` meets that error
        at each request.
        """
        if not self._follow(app):
            raise ValueError("SECRET_KEY is missing: sessions need a secret of the server")
        app.session_interface = self

    def _follow(self, app: Flask) -> bool:
        """Obey the settings of `app`. False when there is no secret key."""
        config = app.config
        key = self._key or config["SECRET_KEY"]
        lifetime = config["PERMANENT_SESSION_LIFETIME"]
        settings = (app, key, config["SECRET_KEY_FALLBACKS"], lifetime)
        if settings != self._configured:
            self._configured = None
            if not key:
                return False
            older = config["SECRET_KEY_FALLBACKS"] or ()
            keys = [_secret("SECRET_KEY", key)]
            keys += [_secret("SECRET_KEY_FALLBACKS", each) for each in older]
            chosen = lifetime != app.default_config["PERMANENT_SESSION_LIFETIME"]
            self._configure(keys, app.permanent_session_lifetime if chosen else None)
            self._check_cookie(app)
            self._configured = settings
        return True

    def _configure(self, keys: list[bytes], lifetime: timedelta | None) -> None:
        longest, absolute = self._timeouts
        idle = longest if lifetime is None else lifetime.total_seconds()
        if idle is None:
            idle = 1800
        elif longest is not None and idle > longest:
            raise ValueError(
                f"PERMANENT_SESSION_LIFETIME is {idle:g} s, but a session that is not used for "
                f"idle={longest:g} s ends: make idle longer or the lifetime shorter"
            )
        absolute = max(28800, idle) if absolute is None else absolute
        if not 0 < idle <= absolute:
            name = "idle" if lifetime is None else "PERMANENT_SESSION_LIFETIME"
            raise ValueError(
                f"{name}={idle:g} must be above 0 and at most absolute={absolute:g} seconds"
            )
        self._absolute = timedelta(seconds=absolute)
        most = self.sessions_per_user
        self._store.configure(keys, idle=idle, absolute=absolute, most=most)

    def _check_cookie(self, app: Flask) -> None:
        """Refuse what browsers reject without a word."""
        name, needs = self.get_cookie_name(app), ""
        if not self.get_cookie_secure(app):
            if name.startswith(_PREFIXES) or self.get_cookie_samesite(app) == "None":
                needs = "SESSION_COOKIE_SECURE"
        elif name.startswith("__Host-") and not self._at_host(app):
            needs = "no SESSION_COOKIE_DOMAIN, and the SESSION_COOKIE_PATH /"
        if needs:
            raise ValueError(
                f"SESSION_COOKIE_NAME: browsers reject {name} as it is set: it needs {needs}"
            )

    def sessions_of(self, user_id: str) -> list[SessionInfo]:
        """The user's live sessions, last used first; the one of this request is `current`."""
        mine = getattr(session_of_request, "handle", None) if has_request_context() else None
        return self._ready().sessions_of(user_id, mine)

    def revoke(self, user_id: str, handle: str) -> bool:
        """End one session of the user, by its handle; False when it is not one of theirs."""
        return handle != "" and self._ready().revoke(user_id, only=handle) > 0

    def revoke_user(self, user_id: str, except_session: RedisSession | None = None) -> int:
        """End all sessions of the user but `except_session`; return how many were ended."""
        keep = except_session.handle if except_session is not None else None
        return self._ready().revoke(user_id, but=keep or "")

    def revoke_everybody(self) -> None:
        """End all sessions, including this request's and those without a user."""
        self._store.revoke_everybody()

    def _ready(self) -> SessionStore:
        if has_app_context():
            self._follow(current_app)
        if self._configured is None:
            raise RuntimeError("the sessions have no app yet: call init_app(app)")
        return self._store

    # Called by Flask

    def get_cookie_name(self, app: Flask) -> str:
        """The name, over https under the strictest prefix that Domain and Path allow."""
        name: str = app.config["SESSION_COOKIE_NAME"]
        if not self._https():
            return name
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        return ("__Host-" if self._at_host(app) else "__Secure-") + name

    def _https(self) -> bool:
        return self._tls or (has_request_context() and request_of_context.is_secure)

    def _at_host(self, app: Flask) -> bool:
        return self.get_cookie_domain(app) is None and self.get_cookie_path(app) == "/"

    def get_cookie_secure(self, app: Flask) -> bool:
        return self._https() or super().get_cookie_secure(app)

    def get_cookie_samesite(self, app: Flask) -> str:
        """Lax unless the app chooses another: without the attribute, browsers differ."""
        return super().get_cookie_samesite(app) or "Lax"

    def open_session(self, app: Flask, request: Request) -> RedisSession | None:
        """The session of a request. It asks Redis nothing yet. None when there is no secret key."""
        if not self._follow(app):
            return None
        session = self.session_class(self._store, request, self.get_cookie_name(app))
        if hasattr(app, "login_manager"):  # of Flask-Login, which the sessions do not need
            from .remember import RememberCookie  # noqa: PLC0415

            session.remember_cookie = RememberCookie(
                app, request, session, self._store, self.get_cookie_secure(app)
            )
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write the changes and set the cookie; a 503 if Redis does not take the changes."""
        assert isinstance(session, RedisSession)  # noqa: S101 - open_session made it
        try:
            if session.remember_cookie is not None:
                session.remember_cookie.replace(response)
            if session.touched:
                # Parsing the header is only needed when there is one.
                if response.headers.setdefault("Vary", "Cookie") != "Cookie":
                    response.vary.add("Cookie")
                refresh = app.config["SESSION_REFRESH_EACH_REQUEST"]
                if (session_id := session.commit(refresh=refresh)) is not None:
                    self._set_cookie(app, response, session_id, session)
            if session.remember_cookie is not None:
                session.remember_cookie.finish(response)
        except StoreUnavailable as error:
            _replace(app, response, error)
        finally:
            self._client.end_request()

    def _set_cookie(
        self, app: Flask, response: Response, session_id: str, session: RedisSession
    ) -> None:
        ended = session_id == FORGET
        lifetime = min(app.permanent_session_lifetime, self._absolute)
        if ended:
            times: dict[str, Any] = {"max_age": 0, "expires": 0}
        elif session.permanent:
            times = {"max_age": lifetime, "expires": datetime.now(UTC) + lifetime}
        else:
            times = {}
        response.set_cookie(
            self.get_cookie_name(app),
            session_id,
            **times,
            path=self.get_cookie_path(app),
            domain=self.get_cookie_domain(app),
            secure=self.get_cookie_secure(app),
            httponly=self.get_cookie_httponly(app),
            samesite=self.get_cookie_samesite(app),
            partitioned=self.get_cookie_partitioned(app),
        )
        if ended:
            response.headers["Cache-Control"] = "no-store"
            if session.logged_out:
                response.headers["Clear-Site-Data"] = self.clear_site_data
        else:
            response.headers.setdefault("Cache-Control", "no-store")


def _secret(name: str, key: bytes | str) -> bytes:
    secret = key.encode() if isinstance(key, str) else key
    if len(secret) < MIN_KEY_BYTES:
        raise ValueError(
            f"{name}: sessions need a secret of at least {MIN_KEY_BYTES} bytes "
            "(openssl rand -hex 32 prints one)"
        )
    return secret


def _replace(app: Flask, response: Response, error: StoreUnavailable) -> None:
    """Make `response` the app's own page for 503, or a plain one when that page fails as well."""
    try:
        page = app.make_response(app.handle_user_exception(error))
    except Exception:
        app.logger.exception("the error page for 503 failed")
        page = Response(error.get_body(), 503, error.get_headers())
    close = getattr(response.response, "close", None)
    if close is not None:
        close()
    response.response = page.response
    response.status = page.status
    response.direct_passthrough = page.direct_passthrough
    response.headers.clear()
    response.headers.extend(page.headers)
