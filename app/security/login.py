"""The adapter to Flask-Login 0.6.3. No other file uses it.

Kept: the user is loaded once a request, on first use; the signals are sent; extensions find
`app.login_manager`. Replaced, here or in the SecurityManager, are these weaknesses:

- It does not change the session id at login and keeps the session alive after logout.
- Its after_request hook reads the session on every response, including static files.
- Its session protection trusts a forgeable header for the client's address.
- Its remember cookie logs in again after logout. There is no such cookie here.
- Its `login_required` obeys LOGIN_DISABLED, one setting that opens every page.
- Its `current_user` and `login_required` take about 40 µs a request, most of it in proxies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import flask_login
from flask import Flask, current_app, g, has_request_context, session
from flask.typing import ResponseReturnValue
from werkzeug.local import LocalProxy

from app.security.users import AnonymousUser, User

View = TypeVar("View", bound=Callable[..., Any])


def _user() -> User | AnonymousUser:
    # `g` is a proxy: resolve it once, not for each attribute.
    found = g._get_current_object()
    try:
        user = found._login_user
    except AttributeError:
        current_app.login_manager._load_user()  # type: ignore[attr-defined]
        user = found._login_user
    return cast("User | AnonymousUser", user)


#: The User of the current request, or an AnonymousUser.
current_user: Any = LocalProxy(_user)


def login_required(view: View) -> View:
    """Restrict the view to logged-in users; others get the manager's response for strangers."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not _user().is_authenticated:
            return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
        return view(*args, **kwargs)

    return cast(View, checked)


class LoginState(flask_login.LoginManager):  # type: ignore[misc]
    """Flask-Login's manager, with the user taken from our session."""

    def __init__(
        self, load_user: Callable[[str], User | None], refuse: Callable[[], ResponseReturnValue]
    ) -> None:
        super().__init__()
        self.anonymous_user = AnonymousUser
        self.session_protection = None
        self.user_loader(load_user)
        self.unauthorized_handler(refuse)

    def init_app(self, app: Flask) -> None:
        app.login_manager = self  # type: ignore[attr-defined]
        # Flask-Login's context processor loads the user for every template.
        app.jinja_env.globals["current_user"] = current_user

    def _load_user(self) -> None:
        user_id = session._get_current_object().user_id  # type: ignore[attr-defined]
        user = None if user_id is None else self._user_callback(user_id)
        g._login_user = AnonymousUser() if user is None else user

    @staticmethod
    def enter(user: User) -> None:
        """Make *user* the current one for the rest of this request. Does not touch the session."""
        g._login_user = user
        flask_login.user_logged_in.send(current_app._get_current_object(), user=user)  # type: ignore[attr-defined]

    @staticmethod
    def leave() -> None:
        """Make the rest of this request anonymous. Does not touch the session."""
        user = loaded_user()
        g._login_user = AnonymousUser()
        flask_login.user_logged_out.send(current_app._get_current_object(), user=user)  # type: ignore[attr-defined]


def loaded_user() -> User | None:
    """The logged-in user if this request has loaded one. Does not load."""
    # On the command line there is no request.
    user = g.get("_login_user") if has_request_context() else None
    return cast(User, user) if user is not None and user.is_authenticated else None
