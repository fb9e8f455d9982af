"""The Flask side: reads the cookie, sets it, and turns a lost write into a 503."""

from __future__ import annotations

from flask import Flask, Request, Response, has_request_context
from flask import request as request_of_context
from flask import session as session_of_request
from flask.sessions import SessionInterface, SessionMixin

from ..redis_client import Client, StoreUnavailable
from .session import FORGET, RedisSession
from .store import Clock, SessionInfo, SessionStore


class RedisSessionInterface(SessionInterface):
    """Sessions in Redis.

    `key`: a secret of the server, such as `SECRET_KEY`. Without it the data in Redis is useless.
    `idle`, `absolute`: seconds until an unused session ends, and until any session ends.
    `tls`: whether browsers reach the app by https only. Then the cookie is `__Host-…` and Secure,
    so neither a sub-domain nor plain http can set or read it. Otherwise each request's own scheme
    decides.
    `clock`: seconds since the epoch. None means Redis's own clock, which all workers share.

    Of Flask's settings, `SESSION_COOKIE_NAME` and `SESSION_COOKIE_SAMESITE` apply.
    """

    clear_site_data = '"cache", "cookies", "storage"'
    """Sent at logout. "cookies" clears those of apps on sibling sub-domains too."""

    def __init__(
        self,
        client: Client,
        *,
        key: bytes | str,
        idle: float = 1800,
        absolute: float = 28800,
        tls: bool = True,
        clock: Clock = None,
    ) -> None:
        secret = key.encode() if isinstance(key, str) else key
        if len(secret or b"") < 16:
            raise ValueError("key: sessions need a secret of at least 16 bytes, such as SECRET_KEY")
        if not 0 < idle <= absolute:
            raise ValueError(f"idle={idle} must be above 0 and at most absolute={absolute} seconds")
        self._client = client
        self._absolute = round(absolute)
        self._tls = tls
        self._store = SessionStore(client, secret, idle=idle, absolute=absolute, clock=clock)

    def sessions_of(self, user_id: str) -> list[SessionInfo]:
        """The user's live sessions, last used first; the one of this request is `current`."""
        mine = getattr(session_of_request, "handle", None) if has_request_context() else None
        return self._store.sessions_of(user_id, mine)

    def revoke(self, user_id: str, handle: str) -> bool:
        """End one session of the user, by its handle; False when it is not one of theirs."""
        return handle != "" and self._store.revoke(user_id, only=handle) == 1

    def revoke_user(self, user_id: str, except_session: RedisSession | None = None) -> int:
        """End all sessions of the user but `except_session`; return how many were ended."""
        keep = except_session.handle if except_session is not None else None
        return self._store.revoke(user_id, but=keep or "")

    def revoke_everybody(self) -> None:
        """End all sessions, including this request's and those without a user."""
        self._store.revoke_everybody()

    # Called by Flask

    def get_cookie_name(self, app: Flask) -> str:
        name: str = app.config["SESSION_COOKIE_NAME"]
        return f"__Host-{name}" if self._secure() and not name.startswith("__Host-") else name

    def _secure(self) -> bool:
        return self._tls or (has_request_context() and request_of_context.is_secure)

    def open_session(self, app: Flask, request: Request) -> RedisSession:
        """The session of a request. It asks Redis nothing yet."""
        session = RedisSession(self._store, request, self.get_cookie_name(app))
        if hasattr(app, "login_manager"):  # of Flask-Login, which the sessions do not need
            from .remember import RememberCookie  # noqa: PLC0415

            session.remember_cookie = RememberCookie(app, request, session, self._store, self._tls)
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write the changes and set the cookie; a 503 if Redis does not take the changes."""
        assert isinstance(session, RedisSession)  # noqa: S101 - open_session made it
        try:
            if session.remember_cookie is not None:
                session.remember_cookie.replace(response)
            if session.touched:
                response.vary.add("Cookie")
                if (session_id := session.commit()) is not None:
                    self._set_cookie(app, response, session_id, session.permanent)
                if session.lost and session.remember_cookie is not None:
                    session.remember_cookie.withdraw(response)
        except StoreUnavailable as error:
            _replace(app, response, error)
        finally:
            self._client.end_request()

    def _set_cookie(self, app: Flask, response: Response, session_id: str, keep: bool) -> None:
        ended = session_id == FORGET
        response.set_cookie(
            self.get_cookie_name(app),
            session_id,
            max_age=0 if ended else self._absolute if keep else None,
            expires=0 if ended else None,
            path="/",
            secure=self._secure(),
            httponly=True,
            samesite=app.config["SESSION_COOKIE_SAMESITE"] or "Lax",
        )
        if ended:
            response.headers["Cache-Control"] = "no-store"
            response.headers["Clear-Site-Data"] = self.clear_site_data
        else:
            response.headers.setdefault("Cache-Control", "no-store")


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
