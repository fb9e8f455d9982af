"""The cookie's name, attributes and size, with TLS and without, when set and when deleted."""

import pytest
from werkzeug.http import parse_cookie

from tests.sessions.pages import client_of, make_app


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def tls(request):
    return request.param


@pytest.fixture
def app(redis, tls):
    return make_app(client_of(redis), tls=tls)


def browser_of(app, tls):
    browser = app.test_client()
    scheme = "https" if tls else "http"
    return lambda path, **more: browser.post(path, base_url=f"{scheme}://localhost", **more)


def attributes(answer):
    cookie = answer.headers["Set-Cookie"]
    parts = [part.strip() for part in cookie.split(";")[1:]]
    return {part.partition("=")[0]: part.partition("=")[2] for part in parts}


def test_setting_it(app, tls):
    answer = browser_of(app, tls)("/login/ann")
    (name,) = parse_cookie(answer.headers["Set-Cookie"].partition(";")[0])
    assert name == ("__Host-session" if tls else "session")
    expected = {"HttpOnly": "", "Path": "/", "SameSite": "Lax"}
    assert attributes(answer) == (expected | {"Secure": ""} if tls else expected)
    assert len(answer.headers["Set-Cookie"]) < 4096
    assert answer.headers["Cache-Control"] == "no-store"


def test_behind_a_proxy_it_follows_the_scheme_of_the_request(redis):
    """`tls` is off where the server itself speaks http, and a proxy in front https."""
    browser = browser_of(make_app(client_of(redis), tls=False), True)
    answer = browser("/login/ann")
    assert answer.headers["Set-Cookie"].startswith("__Host-session=")
    assert "Secure" in attributes(answer)
    assert browser("/logout").headers["Set-Cookie"].startswith("__Host-session=;")


def test_the_deletion_carries_the_same_attributes(app, tls):
    post = browser_of(app, tls)
    set_ = attributes(post("/login/ann"))
    answer = post("/logout")
    gone = attributes(answer)
    assert gone.pop("Max-Age") == "0"
    assert gone.pop("Expires").startswith("Thu, 01 Jan 1970")
    assert gone == set_
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Clear-Site-Data"] == '"cache", "cookies", "storage"'


def test_only_a_logout_clears_what_else_the_browser_keeps(app, tls):
    from flask import session

    @app.post("/clear")
    def clear():
        session.clear()
        return "cleared"

    post = browser_of(app, tls)
    post("/login/ann")
    answer = post("/clear")
    assert attributes(answer)["Max-Age"] == "0"
    assert "Clear-Site-Data" not in answer.headers


def test_a_browser_without_the_cookie_is_told_nothing(app, tls):
    assert "Set-Cookie" not in browser_of(app, tls)("/logout").headers


def test_a_farewell_begins_a_new_session(app, tls):
    from flask import flash, session

    @app.post("/bye")
    def bye():
        session.destroy()
        flash("see you")
        return "bye"

    post = browser_of(app, tls)
    post("/login/ann")
    answer = post("/bye")
    assert attributes(answer).get("Max-Age") is None
    assert "Clear-Site-Data" not in answer.headers


def test_a_permanent_session_lasts_as_long_as_the_server_keeps_it(app, tls):
    from flask import session

    @app.post("/stay")
    def stay():
        session.permanent = True
        return "stay"

    post = browser_of(app, tls)
    post("/login/ann")
    assert attributes(post("/stay"))["Max-Age"] == "28800"
