"""A small Flask app on app.sessions whose pages do one thing to the session each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request, session
from flask.testing import FlaskClient

from app.redis_client import connect
from app.sessions import RedisSessionInterface
from tests.servers.redis import RedisServer

KEY = "a secret of the tests, long enough"


def client_of(server: RedisServer):
    """A client that waits longer than an app's: a busy machine may stop Redis for a second, and the
    circuit that this opens fails the tests after it too.
    """
    return connect(server.url, server.password, budget=10)


def make_app(client: Any, **options: Any) -> Flask:
    options = {"key": KEY, "tls": False, **options}
    app = Flask("pages", static_folder=str(Path(__file__).parent), static_url_path="/static")
    app.secret_key = KEY
    app.session_interface = interface = RedisSessionInterface(client, **options)

    @app.get("/plain")
    def plain() -> str:
        return "no session here"

    @app.get("/get/<key>")
    def get(key: str) -> Any:
        return jsonify(session.get(key))

    @app.get("/all")
    def everything() -> Any:
        return jsonify({key: session[key] for key in session})

    @app.post("/set/<key>")
    def set_(key: str) -> str:
        session[key] = request.get_json() if request.is_json else request.get_data(as_text=True)
        return "set"

    @app.post("/delete/<key>")
    def delete(key: str) -> str:
        session.pop(key, None)
        return "deleted"

    @app.post("/nested")
    def nested() -> str:
        session["nested"]["list"].append(len(session["nested"]["list"]))
        return "appended"

    @app.post("/login/<user>")
    def login(user: str) -> str:
        session.bind(user, request.args.get("epoch", ""))  # type: ignore[attr-defined]
        session["user"] = user
        return "logged in"

    @app.post("/rotate")
    def rotate() -> str:
        session.rotate()  # type: ignore[attr-defined]
        return "rotated"

    @app.post("/logout")
    def logout() -> str:
        session.destroy()  # type: ignore[attr-defined]
        return "logged out"

    @app.get("/whoami")
    def whoami() -> Any:
        user = session.get("user")
        return (jsonify(user), 200) if user else ("log in", 401)

    @app.get("/sessions")
    def sessions() -> Any:
        lines = interface.sessions_of(session.user_id)  # type: ignore[attr-defined]
        return jsonify([{"handle": one.handle, "current": one.current} for one in lines])

    @app.post("/revoke-others")
    def revoke_others() -> Any:
        current: Any = session._get_current_object()  # type: ignore[attr-defined]
        return jsonify(interface.revoke_user(current.user_id, except_session=current))

    return app


def logged_in(app: Flask, user: str = "ann") -> FlaskClient:
    """Return a client with a session of *user*."""
    browser = app.test_client()
    assert browser.post(f"/login/{user}").status_code == 200
    return browser


def cookie_of(browser: FlaskClient, name: str = "session") -> str:
    cookie = browser.get_cookie(name)
    assert cookie is not None
    return cookie.value
