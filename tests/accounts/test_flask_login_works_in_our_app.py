"""Code that calls Flask-Login itself gets the SecurityManager's logins, and no weaker ones."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import flask_login
import pytest
from flask import Flask, request, session
from flask_login import FlaskLoginClient

from app.security import SecurityManager, security
from tests.people.in_process import PASSWORD, Browser, make_app, new_name
from tests.servers.redis import RedisServer


class Robot(flask_login.UserMixin):  # type: ignore[misc]
    id = "robot"
    permissions = frozenset[str]()


@pytest.fixture
def app(redis: RedisServer) -> Flask:
    app = make_app(redis)
    app.config["WTF_CSRF_ENABLED"] = False

    @app.post("/theirs/login/<name>")
    def log_in(name: str) -> str:
        user = security.find(name)
        remember, fresh = "remember" in request.args, "stale" not in request.args
        return str(flask_login.login_user(user, remember=remember, fresh=fresh))

    @app.post("/theirs/logout")
    def log_out() -> str:
        return str(flask_login.logout_user())

    @app.post("/theirs/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        return "confirmed"

    @app.get("/theirs/page")
    @flask_login.login_required  # type: ignore[misc]
    def page() -> Any:
        return flask_login.current_user.id

    @app.get("/theirs/settings")
    @flask_login.fresh_login_required  # type: ignore[misc]
    def settings() -> str:
        return "settings"

    @app.post("/theirs/note")
    def note() -> str:
        session["note"] = "milk"
        return "noted"

    @app.get("/theirs/note")
    def read_note() -> str:
        return str(session.get("note"))

    @app.login_manager.request_loader  # type: ignore[attr-defined]
    def robot(incoming: Any) -> Robot | None:
        return Robot() if incoming.headers.get("X-Key") == "robots only" else None

    return app


@pytest.fixture
def manager(app: Flask) -> SecurityManager:
    return app.extensions["security"]  # type: ignore[no-any-return]


@pytest.fixture
def name(app: Flask) -> str:
    name = new_name()
    with app.app_context():
        security.register(name, PASSWORD)
    return name


def on_our_page(app: Flask, name: str) -> Browser:
    browser = Browser(app)
    answer = browser.post("/auth/login", {"name": name, "password": PASSWORD})
    assert answer.status_code == 303
    return browser


def state(browser: Browser) -> tuple[int, int]:
    paths = ("/theirs/page", "/theirs/settings")
    first, second = (browser.get(path).status_code for path in paths)
    return first, second


def test_login_user_logs_in_and_logout_user_logs_out(
    app: Flask, manager: SecurityManager, name: str
) -> None:
    ada, thief = Browser(app), Browser(app)
    ada.post("/theirs/note", {})
    planted = ada.session_id
    assert ada.post(f"/theirs/login/{name}", {}).text == "True"
    assert ada.who() == name and state(ada) == (200, 200)
    assert ada.session_id not in {None, planted}
    user = manager.find(name)
    assert user is not None and len(manager.sessions.sessions_of(user.id)) == 1
    thief.client.set_cookie("session", ada.session_id or "")
    answer = ada.post("/theirs/logout", {})
    assert answer.text == "True" and "Clear-Site-Data" in answer.headers
    assert ada.who() is None and thief.who() is None
    assert ada.get("/theirs/note").text == "None"


def test_logins_of_our_page_are_theirs_too(app: Flask, name: str) -> None:
    ada = on_our_page(app, name)
    assert state(ada) == (200, 200)
    ada.post("/auth/logout", {})
    assert state(ada) == (302, 302)


def test_a_login_is_fresh_for_15_minutes_and_then_the_password_is_asked_for(
    app: Flask, manager: SecurityManager, name: str
) -> None:
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}", {})
    manager.clock = lambda: time.time() + 16 * 60
    answer = ada.get("/theirs/settings")
    assert answer.location == "/auth/reauthenticate?next=/theirs/settings"
    assert ada.get("/auth/sessions").location.startswith("/auth/reauthenticate")
    ada.post("/auth/reauthenticate", {"password": PASSWORD})
    assert state(ada) == (200, 200)


def test_a_stale_login_is_stale_everywhere(app: Flask, name: str) -> None:
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}?stale", {})
    assert state(ada) == (200, 302)
    assert ada.get("/auth/sessions").status_code == 302


def test_confirm_login_asks_for_the_password(
    app: Flask, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}?stale", {})
    assert ada.post("/theirs/confirm", {}).status_code == 500
    assert "security.reauthenticate(user, password, address)" in caplog.text
    assert state(ada) == (200, 302)


def test_changes_of_the_account_end_the_login(
    app: Flask, manager: SecurityManager, name: str
) -> None:
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}?remember", {})
    user = manager.find(name)
    assert user is not None
    with app.app_context():
        manager.set_password(user, "another walk, by the sea")
    assert ada.who() is None


def test_a_disabled_user_does_not_get_in(app: Flask, manager: SecurityManager, name: str) -> None:
    user = manager.find(name)
    assert user is not None
    with app.app_context():
        manager.set_active(user, False)
    ada = Browser(app)
    assert ada.post(f"/theirs/login/{name}", {}).text == "False"
    assert ada.who() is None


def test_our_login_page_remembers_nobody(app: Flask, name: str) -> None:
    ada = on_our_page(app, name)
    assert ada.client.get_cookie("remember_token") is None


def test_remember_logs_in_again_until_logout(app: Flask, name: str) -> None:
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}?remember", {})
    token = ada.client.get_cookie("remember_token")
    assert token is not None
    ada.client.delete_cookie("session")
    assert state(ada) == (200, 302), "remembered and not fresh"
    ada.client.delete_cookie("session")
    assert ada.post("/auth/logout", {}).status_code == 303
    assert ada.client.get_cookie("remember_token") is None
    assert ada.who() is None
    ada.client.set_cookie("remember_token", token.value)
    assert ada.who() is None


def test_the_managers_login_can_remember(app: Flask, name: str) -> None:
    app.config["REMEMBER_COOKIE_DURATION"] = timedelta(days=7)

    @app.post("/mine/login")
    def mine() -> str:
        user = security.authenticate(name, PASSWORD, "192.0.2.1")
        assert user is not None
        security.log_in(user, remember=True)
        return "in"

    ada = Browser(app)
    ada.post("/mine/login", {})
    ada.client.delete_cookie("session")
    assert ada.who() == name


def test_the_test_client_of_flask_login(app: Flask, manager: SecurityManager, name: str) -> None:
    app.test_client_class = FlaskLoginClient
    user = manager.find(name)
    with app.test_client(user=user) as client:
        assert client.get("/theirs/settings").text == "settings"
        assert client.get("/auth/whoami").json["name"] == name
    with app.test_client(user=user, fresh_login=False) as client:
        assert client.get("/theirs/settings").status_code == 302


def test_a_request_loader_is_asked(app: Flask) -> None:
    assert Browser(app).get("/theirs/page", **{"X-Key": "robots only"}).text == "robot"
    assert Browser(app).get("/theirs/page").status_code == 302


def test_strong_session_protection_can_be_set(app: Flask, name: str) -> None:
    app.config["SESSION_PROTECTION"] = "strong"
    ada, thief = Browser(app, agent="Firefox/1"), Browser(app, agent="curl")
    ada.post(f"/theirs/login/{name}", {})
    assert ada.who() == name
    thief.client.set_cookie("session", ada.session_id or "")
    assert thief.who() is None and ada.who() is None


def test_each_signal_is_sent_once(app: Flask, name: str) -> None:
    heard: list[str] = []

    def came(_sender: Flask, **_user: Any) -> None:
        heard.append("in")

    def went(_sender: Flask, **_user: Any) -> None:
        heard.append("out")

    flask_login.user_logged_in.connect(came, app)
    flask_login.user_logged_out.connect(went, app)
    ada = Browser(app)
    ada.post(f"/theirs/login/{name}", {})
    ada.post("/theirs/logout", {})
    on_our_page(app, name).post("/auth/logout", {})
    assert heard == ["in", "out", "in", "out"]


def test_each_login_and_logout_is_an_event(
    app: Flask, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ada = Browser(app)
    with caplog.at_level("INFO", "app.security"):
        ada.post(f"/theirs/login/{name}?remember", {})
        ada.client.delete_cookie("session")
        ada.who()
        ada.post("/theirs/logout", {})
    assert [record.message for record in caplog.records if record.name == "app.security"] == [
        "authn_login_success",
        "authn_login_remembered",
        "authn_logout",
    ]
