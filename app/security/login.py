"""The adapter to Flask-Login 0.6.3. No other file uses it.

Everything that Flask-Login offers works in this app, for code and extensions that use it:
`login_user` and `logout_user` are the SecurityManager's login and logout. These differ:

- A login is fresh for as long as the SecurityManager says, and only the password makes it fresh
  again. So `confirm_login()` raises.
- Its session protection is off unless SESSION_PROTECTION is set.

The names of this module are preferred to Flask-Login's: `login_required` does not obey
LOGIN_DISABLED, one setting that opens every page, and Flask-Login's own `current_user` and
`login_required` take about 40 µs a request, most of it in proxies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import flask_login
from flask import Flask, current_app, g, has_request_context, request, session
from flask.typing import ResponseReturnValue
from werkzeug.local import LocalProxy

from app.security import events
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
    """Flask-Login's manager, with the user taken from our session.

    Calls of the SecurityManager: `load_user` with the id of a session's user, `begin` when a user
    logs in, `end` when one logs out, `refuse` and `refuse_stale` for a response.
    """

    def __init__(
        self,
        load_user: Callable[[str], User | None],
        begin: Callable[[User], None],
        end: Callable[[], None],
        refuse: Callable[[], ResponseReturnValue],
        refuse_stale: Callable[[], ResponseReturnValue],
    ) -> None:
        super().__init__()
        self.anonymous_user = AnonymousUser
        self.session_protection = None
        self._begin = begin
        self._end = end
        self.user_loader(load_user)
        self.unauthorized_handler(refuse)
        self.needs_refresh_handler(refuse_stale)

    def init_app(self, app: Flask) -> None:
        # Flask-Login's context processor loads the user for every template.
        super().init_app(app, add_context_processor=False)
        app.jinja_env.globals["current_user"] = current_user
        flask_login.user_login_confirmed.connect(_refuse_confirmation, app)

    def _load_user(self) -> None:
        app, found = current_app._get_current_object(), None  # type: ignore[attr-defined]
        flask_login.user_accessed.send(app)
        protected = self.session_protection or app.config.get("SESSION_PROTECTION")
        if not (protected and self._session_protection_failed()):
            user_id = session._get_current_object().user_id  # type: ignore[attr-defined]
            found = None if user_id is None else self._user_callback(user_id)
            if found is None:
                cookie = request.cookies.get(_remember_name())
                if cookie is not None:
                    found = self._load_user_from_remember_cookie(cookie)
                    if found is not None:
                        events.record("authn_login_remembered", user=found.id)
                elif self._request_callback is not None:
                    found = self._load_user_from_request(request)
        g._login_user = AnonymousUser() if found is None else found

    def _update_request_context_with_user(self, user: User | None = None) -> None:
        """Called by `login_user` and `logout_user` when they have changed the session."""
        if user is None:
            self.leave()
        else:
            g._login_user = user
            self._begin(user)

    def leave(self) -> None:
        """End the session and make the rest of this request anonymous."""
        self._end()
        g._login_user = AnonymousUser()
        if _remember_name() in request.cookies:
            session["_remember"] = "clear"  # Flask-Login then deletes the cookie


def log_in(user: User, *, remember: bool) -> None:
    """Flask-Login's login, also of a user who is not active."""
    flask_login.login_user(user, remember=remember, force=True)


def log_out() -> None:
    """Flask-Login's logout, without loading the user."""
    user = loaded_user()
    current_app.login_manager.leave()  # type: ignore[attr-defined]
    flask_login.user_logged_out.send(current_app._get_current_object(), user=user)  # type: ignore[attr-defined]


def confirm(user: User) -> None:
    """Make *user*, who has given the password again, the current one."""
    g._login_user = user
    flask_login.user_login_confirmed.send(current_app._get_current_object())  # type: ignore[attr-defined]


def _refuse_confirmation(_app: Flask) -> None:
    # The SecurityManager writes a time there, and Flask-Login's confirm_login() writes True.
    if session["_fresh"] is True:
        session["_fresh"] = False
        raise RuntimeError(
            "confirm_login() makes a session fresh without a password. Call "
            "security.reauthenticate(user, password, address) of app.security instead."
        )


def _remember_name() -> str:
    return cast(str, current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME))


def loaded_user() -> User | None:
    """The logged-in user if this request has loaded one. Does not load."""
    # On the command line there is no request.
    user = g.get("_login_user") if has_request_context() else None
    return cast(User, user) if user is not None and user.is_authenticated else None
