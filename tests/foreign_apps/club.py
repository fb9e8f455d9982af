"""An app that uses Flask-Login in the ordinary way. Only its sessions are this stack's."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from flask import Flask, Response, flash, get_flashed_messages, jsonify, request, session
from flask_login import (
    LoginManager,
    UserMixin,
    confirm_login,
    current_user,
    fresh_login_required,
    login_fresh,
    login_remembered,
    login_required,
    login_user,
    logout_user,
)

from app.redis_client import connect
from app.sessions import RedisSessionInterface

KEY = "the key of a club, long enough"


class Member(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name

    @property
    def is_active(self) -> bool:
        return self.id != "suspended"


def create_club(sessions: RedisSessionInterface | None = None) -> Flask:
    club = Flask(__name__)
    club.secret_key = KEY
    if sessions is None:
        password = Path(os.environ["REDIS_PASSWORD_FILE"]).read_text().strip()
        client = connect(os.environ["REDIS_URL"], password)
        sessions = RedisSessionInterface(client, key=KEY, tls=False)
    club.session_interface = sessions
    logins = LoginManager(club)
    gone: set[str] = set()

    @logins.user_loader
    def load(name: str) -> Member | None:
        return None if name in gone else Member(name)

    @logins.request_loader
    def load_by_key(incoming: object) -> Member | None:
        return Member("robot") if request.headers.get("X-Key") == "robots only" else None

    @club.get("/")
    def front() -> Response:
        name = current_user.id if current_user.is_authenticated else None
        return jsonify(
            name=name,
            fresh=bool(login_fresh()),
            remembered=login_remembered(),
            note=session.get("note"),
            flashes=get_flashed_messages(),
        )

    @club.post("/login/<name>")
    def log_in(name: str) -> str:
        days = request.args.get("days", type=int)
        return str(
            login_user(
                Member(name),
                remember="remember" in request.args,
                duration=None if days is None else timedelta(days=days),
                force="force" in request.args,
                fresh="stale" not in request.args,
            )
        )

    @club.post("/logout")
    def log_out() -> str:
        flash("See you.")
        return str(logout_user())

    @club.post("/confirm")
    def confirm() -> str:
        confirm_login()
        return "confirmed"

    @club.post("/note/<text>")
    def note(text: str) -> str:
        session["note"] = text
        return text

    @club.post("/leave-for-ever")
    def leave_for_ever() -> str:
        gone.add(current_user.id)
        return "gone"

    @club.get("/members")
    @login_required  # type: ignore[misc]
    def members() -> str:
        return "welcome"

    @club.get("/settings")
    @fresh_login_required  # type: ignore[misc]
    def settings() -> str:
        return "your settings"

    @club.get("/about")
    def about() -> str:
        return "a club"

    return club
