"""The links in the header for logged-in users. Each blueprint adds its own."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from app.security import User


class Link(NamedTuple):
    """A link that users with *permission* see; None: every logged-in user."""

    label: str
    endpoint: str
    permission: str | None

    def visible_to(self, user: User) -> bool:
        return self.permission is None or self.permission in user.permissions


def add_link(
    blueprint: Blueprint, label: str, endpoint: str, permission: str | None = None
) -> None:
    """Show a link to *endpoint* when *blueprint* is registered. Links keep registration order."""

    def add(state: BlueprintSetupState) -> None:
        links: Any = state.app.jinja_env.globals.setdefault("navigation", [])
        links.append(Link(label, endpoint, permission))

    blueprint.record(add)
