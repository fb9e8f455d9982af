"""Decorators that restrict a view to some users.

    @blueprint.get("/queue")
    @requires("content.moderate")
    def queue(): ...

A program (Accept: application/json) gets 401 or 403. A person gets the page needed next: the login
form, or the form that asks for the password again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from flask import abort, current_app
from werkzeug.local import LocalProxy

from app.security import events
from app.security.login import View, current_user, login_required

if TYPE_CHECKING:
    from app.security.manager import SecurityManager

#: The SecurityManager of the current app.
security = cast("SecurityManager", LocalProxy(lambda: current_app.extensions["security"]))


def requires(permission: str) -> Callable[[View], View]:
    """Restrict the view to users with *permission*. Other users get 403, strangers the login."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if permission not in current_user.permissions:
                events.warn("authz_fail", user=current_user.id, permission=permission)
                abort(403)
            return view(*args, **kwargs)

        checked.permission = permission  # type: ignore[attr-defined]  # shown at /inside/security
        return login_required(cast(View, checked))

    return decorate


def fresh_login_required(view: View) -> View:
    """Restrict the view to users who gave their password in the last 15 minutes.

    Put it below `requires`: a user without the permission must not be asked for the password.
    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not security.is_fresh():
            return current_app.login_manager.needs_refresh()  # type: ignore[attr-defined]
        return view(*args, **kwargs)

    return login_required(cast(View, checked))
