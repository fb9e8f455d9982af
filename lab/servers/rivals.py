"""The protected view with the usual libraries: Flask-Login, redis-py, and the sessions of
Flask-Session 0.8 or Flask's own signed cookie.

STACK_APP names one of the factories. nginx, the server and Redis stay the same, and so does the
answer of the view; the sessions and the loading of the user differ. All defaults are unchanged.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response, jsonify, session
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_session import Session
from redis import Redis

NAME = "rival"


class Account(UserMixin):  # type: ignore[misc]
    def __init__(self, user_id: str, name: str) -> None:
        self.id = user_id
        self.name = name


def create_app() -> Flask:
    """Return the app with Flask-Session's sessions in Redis."""
    app = Flask(__name__)
    redis = _redis()
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis)
    Session(app)
    return _with_views(app, redis)


def create_cookie_app() -> Flask:
    """Return the app with Flask's sessions in a signed cookie."""
    return _with_views(Flask(__name__), _redis())


def create_stack_sessions_app() -> Flask:
    """Return the app with the sessions of this stack, as a comparison of sessions alone."""
    from app.redis_client import connect  # noqa: PLC0415
    from app.sessions import RedisSessionInterface  # noqa: PLC0415

    app = Flask(__name__)
    client = connect(os.environ["REDIS_URL"], _password())
    app.session_interface = RedisSessionInterface(client, key=_secret_key(), tls=False)
    return _with_views(app, _redis())


def _redis() -> Redis:
    return Redis.from_url(os.environ["REDIS_URL"], password=_password())


def _password() -> str:
    return Path(os.environ["REDIS_PASSWORD_FILE"]).read_text(encoding="ascii").strip()


def _secret_key() -> bytes:
    return Path(os.environ["SECRET_KEY_FILE"]).read_bytes()


def _with_views(app: Flask, redis: Redis) -> Flask:
    app.config["SECRET_KEY"] = _secret_key()
    manager = LoginManager(app)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(user_id: str) -> Account | None:
        stored = redis.hgetall(f"account:user:{user_id}")
        return Account(user_id, stored[b"name"].decode()) if stored else None  # type: ignore[union-attr]

    @app.get("/login")
    def login() -> Response:
        user = Account("1", NAME)
        redis.hset(f"account:user:{user.id}", mapping={"name": user.name})
        login_user(user)
        return jsonify(user=user.id)

    @app.get("/workload/protected")
    @login_required  # type: ignore[untyped-decorator]
    def protected() -> Response:
        return jsonify(user=current_user.id, name=current_user.name)

    @app.get("/session")
    def read_session() -> Response:
        return jsonify(user=session["_user_id"])

    @app.get("/readyz")
    def readyz() -> Response:
        return jsonify(ready=True)

    return app
