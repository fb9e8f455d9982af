"""The visitor of a page, for the header that every page shows.

Public pages are served while Redis is down, and must not present a logged-in user as anonymous.
So a visitor has three states: a user, anonymous, or unknown.
"""

from __future__ import annotations

from typing import NamedTuple

from flask import Flask, g
from werkzeug.local import LocalProxy

from app.redis_client import StoreUnavailable
from app.security import User, current_user


class Visitor(NamedTuple):
    """*user* is None for an anonymous visitor. *known* is False while sessions cannot be read."""

    user: User | None
    known: bool = True


def _visitor() -> Visitor:
    if "visitor" not in g:
        try:
            user = current_user._get_current_object()
            g.visitor = Visitor(user if user.is_authenticated else None)
        except StoreUnavailable:
            g.visitor = Visitor(None, known=False)
    return g.visitor  # type: ignore[no-any-return]


def init_app(app: Flask) -> None:
    """Give templates `visitor`, which loads the session only when a template reads it."""
    app.jinja_env.globals["visitor"] = LocalProxy(_visitor)
