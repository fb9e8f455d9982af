"""What a view says about who may call it.

    @blueprint.get("/queue")
    @requires("content.moderate")
    def queue(): ...

All of them answer programs (Accept: application/json) with 401 or 403 and people with the page that
they need next: the login, or their password once more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import abort, current_app, redirect, url_for
from werkzeug.local import LocalProxy

from app.errors import wants_json
from app.security import events
from app.security.login import current_user, login_required
from app.security.next_page import this_page

if TYPE_CHECKING:
    from app.security.manager import SecurityManager

View = TypeVar("View", bound=Callable[..., Any])


def _manager() -> SecurityManager:
    return cast("SecurityManager", current_app.extensions["security"])


#: The SecurityManager of the app that is answering.
security: SecurityManager = cast("SecurityManager", LocalProxy(_manager))


def requires(permission: str) -> Callable[[View], View]:
    """Let only users with *permission* call the view; others get 403, strangers the login page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if permission not in current_user.permissions:
                events.warn("authz_fail", user=current_user.id, permission=permission)
                abort(403)
            return view(*args, **kwargs)

        return login_required(cast(View, checked))

    return decorate


def fresh_login_required(view: View) -> View:
    """Let only users call the view who have given their password within the last 15 minutes.

    Put it below `requires`, so that who may not see a page is not asked for a password first.
    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not _manager().is_fresh():
            if wants_json():
                abort(401, "Give your password again at /auth/reauthenticate, then repeat this.")
            return redirect(url_for("auth.reauthenticate", next=this_page()))
        return view(*args, **kwargs)

    return login_required(cast(View, checked))
