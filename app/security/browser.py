"""The browser cookie: a random number that tells browsers apart without a stored session.

It is the value of a stranger's form tokens (CSRF), so a form needs no session: otherwise anybody
could fill Redis by asking for forms. The login delays also recognise a browser by it.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from flask import Flask, Response, current_app, g, request, session
from werkzeug.local import LocalProxy

from app.security import forms
from app.security.login import current_user

LIFETIME_SECONDS = 90 * 24 * 3600

_ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


def init_app(app: Flask) -> None:
    app.after_request(_set_cookie)
    forms.keep_tokens_in(LocalProxy(_token_values))


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


def _token_values() -> Any:
    owned: Any = session._get_current_object()  # type: ignore[attr-defined]
    # Another app in this process has sessions of its own. `current_user`, because a remember token
    # may log in later in this request.
    if (
        "security" not in current_app.extensions
        or owned.user_id is not None
        or current_user.is_authenticated
    ):
        return owned
    return {current_app.config["WTF_CSRF_FIELD_NAME"]: browser_id()}
