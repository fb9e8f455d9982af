"""Flask-Login 0.6.3, kept to the part of it that holds. The only file that knows it.

What it does well stays: the user is loaded once a request and only when somebody asks, its signals
are sent, and extensions find `app.login_manager`. What does not hold is replaced, here or in the
SecurityManager:

- It does not change the session id at login, and leaves the session alive at logout.
- Its after_request hook looks into the session on every response, static files included.
- Session protection hashes address and browser on every request, trusts a forgeable header for the
  address, and is silently weak for permanent sessions.
- Its remember cookie has neither expiry nor nonce: it logs in again after logout. Here is none.
- Its `login_required` obeys LOGIN_DISABLED, one setting that opens every page.
- Its `current_user` and `login_required` take some 40 µs a request, most of them in proxies.
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
    # One look through the proxy `g`, not one for each attribute.
    found = g._get_current_object()
    try:
        user = found._login_user
    except AttributeError:
        current_app.login_manager._load_user()  # type: ignore[attr-defined]
        user = found._login_user
    return cast("User | AnonymousUser", user)


#: The User of this request, or an AnonymousUser.
current_user: Any = LocalProxy(_user)


def login_required(view: View) -> View:
    """Let only users call the view; strangers get what the manager refuses them with."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not _user().is_authenticated:
            return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
        return view(*args, **kwargs)

    return cast(View, checked)


class LoginState(flask_login.LoginManager):  # type: ignore[misc]
    """Who is logged in, according to the session."""

    def __init__(
        self, load_user: Callable[[str], User | None], refuse: Callable[[], ResponseReturnValue]
    ) -> None:
        super().__init__()
        self.anonymous_user = AnonymousUser
        self.session_protection = None
        self.user_loader(load_user)
        self.unauthorized_handler(refuse)

    def init_app(self, app: Flask, add_context_processor: bool = True) -> None:
        app.login_manager = self  # type: ignore[attr-defined]
        if add_context_processor:
            # Theirs loads the user for every template, also for one that does not ask.
            app.jinja_env.globals["current_user"] = current_user

    def _load_user(self) -> None:
        user_id = session._get_current_object().user_id  # type: ignore[attr-defined]
        user = None if user_id is None else self._user_callback(user_id)
        g._login_user = AnonymousUser() if user is None else user

    @staticmethod
    def enter(user: User) -> None:
        """Make *user* the current one for the rest of this request. The session is the caller's."""
        g._login_user = user
        flask_login.user_logged_in.send(_app(), user=user)

    @staticmethod
    def leave() -> None:
        """Nobody is the current user any more. The session is the caller's."""
        user = loaded_user()
        g._login_user = AnonymousUser()
        flask_login.user_logged_out.send(_app(), user=user)


def loaded_user() -> User | None:
    """The logged-in user if this request has asked for one; never goes to look."""
    # On the command line there is no request and nobody who is logged in.
    user = g.get("_login_user") if has_request_context() else None
    return cast(User, user) if user is not None and user.is_authenticated else None


def _app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]
