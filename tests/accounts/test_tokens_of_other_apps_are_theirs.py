"""Flask-WTF in another app of the same process, and in forms of ours that know nothing of us."""

import re

import flask
import flask_wtf
import pytest
from flask import Flask, render_template_string, session
from flask_wtf import FlaskForm, csrf
from wtforms import StringField

from tests.people.in_process import Browser, make_app, member
from tests.servers.redis import RedisServer

FORM = '<form method="post">{{ form.csrf_token }}</form>'


class Plain(FlaskForm):
    word = StringField()


def add_form(app: Flask) -> None:
    @app.route("/plain", methods=["GET", "POST"])
    def plain() -> str:
        form = Plain()
        if form.validate_on_submit():
            return str(form.word.data)
        return render_template_string(FORM, form=form)


@pytest.fixture
def other(app: Flask) -> Flask:
    """Another app, with Flask's own sessions and Flask-Security's name for its extension."""
    other = Flask("other")
    other.secret_key = "of another app, which is nobody else's"
    other.extensions["security"] = object()
    flask_wtf.CSRFProtect(other)
    add_form(other)
    return other


def test_another_app_keeps_its_tokens_in_its_session(other: Flask) -> None:
    person = other.test_client()
    token = re.search(r'value="([^"]+)"', person.get("/plain").text)
    assert token
    with person.session_transaction() as kept:
        assert "csrf_token" in kept
    assert person.post("/plain", data={"word": "yes"}).status_code == 400
    answer = person.post("/plain", data={"word": "yes", "csrf_token": token[1]})
    assert (answer.status_code, answer.text) == (200, "yes")


def test_flask_wtf_itself_is_as_it_was(app: Flask) -> None:
    assert "security" in app.extensions
    assert csrf.session is flask.session


def test_a_plain_form_of_ours_stores_nothing_for_a_stranger(redis: RedisServer) -> None:
    app = make_app(redis)
    add_form(app)
    person = Browser(app)
    answer = person.send("/plain", word="yes")
    assert (answer.status_code, answer.text) == (200, "yes")
    assert person.session_id is None
    stolen = {"word": "no", "csrf_token": person.token("/plain")}
    assert Browser(app).post("/plain", stolen).status_code == 400


def test_the_token_of_a_member_is_not_that_of_the_browser(redis: RedisServer) -> None:
    app = make_app(redis)
    add_form(app)
    ada, _ = member(app)
    token = ada.token("/plain")
    ada.log_out()
    assert ada.post("/plain", {"word": "no", "csrf_token": token}).status_code == 400


def test_an_app_may_end_a_token(redis: RedisServer) -> None:
    app = make_app(redis)

    @app.get("/end")
    def end() -> str:
        session.pop("csrf_token", None)
        return "ended"

    person = Browser(app)
    assert person.get("/end").status_code == 200
    ada, _ = member(app)
    before = ada.token("/posts/")
    assert ada.get("/end").status_code == 200
    assert ada.post("/auth/logout", {"csrf_token": before}).status_code == 400
    assert ada.log_out().status_code == 303
