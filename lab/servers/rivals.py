"""The protected view as most people would build it: Flask-Login, redis-py, and for the sessions
Flask-Session 0.8 or Flask's own signed cookie.

Served by the same nginx, uWSGI and Redis through STACK_APP, with the same answer, so that what
differs is the sessions and the loading of the user. Defaults are left alone, as most people would.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response, jsonify
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_session import Session
from redis import Redis

NAME = "rival"


class Account(UserMixin):  # type: ignore[misc]
    def __init__(self, user_id: str, name: str) -> None:
        self.id = user_id
        self.name = name


def create_app() -> Flask:
    """Sessions by Flask-Session: an app with `/workload/protected`, and `/login`."""
    app = Flask(__name__)
    redis = _redis()
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis)
    Session(app)
    return _with_views(app, redis)


def create_cookie_app() -> Flask:
    """The same with nothing but Flask: the session travels in a signed cookie."""
    return _with_views(Flask(__name__), _redis())


def _redis() -> Redis:
    password = Path(os.environ["REDIS_PASSWORD_FILE"]).read_text()
    return Redis.from_url(os.environ["REDIS_URL"], password=password)


def _with_views(app: Flask, redis: Redis) -> Flask:
    app.config["SECRET_KEY"] = Path(os.environ["SECRET_KEY_FILE"]).read_bytes()
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

    @app.get("/readyz")
    def readyz() -> Response:
        return jsonify(ready=True)

    return app
