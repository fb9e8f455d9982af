"""Who is looking, for the header of every page.

Pages that anybody may see must come up while Redis is away, and must not call somebody anonymous
who may be logged in. So there are three answers: this user, nobody, and "cannot be known now".
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, g
from werkzeug.local import LocalProxy

from app.security import User, current_user
from app.sessions import StoreUnavailable


@dataclass(frozen=True)
class Visitor:
    """The person in front of a page. *known* is False while sessions cannot be read."""

    user: User | None
    known: bool = True


def _visitor() -> Visitor:
    found: Visitor | None = g.get("visitor")
    if found is None:
        try:
            user = current_user._get_current_object()
            found = Visitor(user if user.is_authenticated else None)
        except StoreUnavailable:
            found = Visitor(None, known=False)
        g.visitor = found
    return found


def init_app(app: Flask) -> None:
    """Give templates `visitor`. It costs nothing until a template asks it something."""
    app.jinja_env.globals["visitor"] = LocalProxy(_visitor)
