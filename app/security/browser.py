"""The browser cookie: a random number that tells browsers apart without a stored session.

It is the value of a stranger's form tokens (CSRF), so a form stores no session: otherwise anybody
could fill Redis by asking for forms. The login delays also recognise a browser by it.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from flask import Flask, Response, current_app, g, request

from app.security.login import current_user
from app.sessions import RedisSession

LIFETIME_SECONDS = 90 * 24 * 3600

_ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


def init_app(app: Flask, sessions: Any) -> None:
    app.after_request(_set_cookie)
    given = sessions.session_class
    sessions.session_class = type(given.__name__, (_TokenOfStrangers, given), {})


def browser_id() -> str:
    """The number of this request's browser. The response gives it one if it has none."""
    if "browser_id" not in g:
        presented = request.cookies.get(_name(), "")
        g.browser_is_new = not _ID.fullmatch(presented)
        g.browser_id = secrets.token_urlsafe(16) if g.browser_is_new else presented
    return str(g.browser_id)


def _name() -> str:
    app: Any = current_app
    return f"{app.session_interface.get_cookie_name(app)}-browser"


def _set_cookie(response: Response) -> Response:
    if g.get("browser_is_new"):
        app: Any = current_app
        response.set_cookie(
            _name(),
            g.browser_id,
            max_age=LIFETIME_SECONDS,
            path=app.session_interface.get_cookie_path(app),
            secure=app.session_interface.get_cookie_secure(app),
            httponly=True,
            samesite="Lax",
        )
        response.headers.setdefault("Cache-Control", "no-store")
    return response


class _TokenOfStrangers(RedisSession):
    """A session in which Flask-WTF finds the browser's number where a stranger has no token."""

    def __getitem__(self, key: str) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            if self._is_token_of_stranger(key):
                return browser_id()
            raise

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._is_token_of_stranger(key)

    def __delitem__(self, key: str) -> None:
        if super().__contains__(key) or not self._is_token_of_stranger(key):
            super().__delitem__(key)

    def _is_token_of_stranger(self, key: object) -> bool:
        # `current_user`, because a remember token may log in later in this request.
        return (
            key == current_app.config["WTF_CSRF_FIELD_NAME"]
            and self.user_id is None
            and not current_user.is_authenticated
        )
