"""A session over 64 KiB is refused, naming its largest key; the stored one is unchanged."""

import pytest

from app.sessions import SessionTooLarge
from tests.sessions.pages import client_of, logged_in, make_app


@pytest.fixture
def app(redis):
    app = make_app(client_of(redis))
    app.testing = True
    return app


def test_the_error_names_the_key_and_what_to_do(app):
    browser = logged_in(app)
    browser.post("/set/small", json="x" * 1000)
    with pytest.raises(SessionTooLarge, match=r"'cart' with 6500\d.*only its id in the session"):
        browser.post("/set/cart", json="x" * 65_000)
    assert browser.get("/all").json == {"user": "ann", "small": "x" * 1000}


def test_just_below_the_limit_is_fine_and_growth_in_steps_is_not(app):
    browser = logged_in(app)
    assert browser.post("/set/a", json="x" * 40_000).status_code == 200
    assert browser.post("/set/b", json="x" * 25_000).status_code == 200
    with pytest.raises(SessionTooLarge, match="'a' with 4000"):
        browser.post("/set/c", json="x" * 1000)
    assert browser.post("/set/a", json="").status_code == 200
    assert browser.post("/set/c", json="x" * 1000).status_code == 200


def test_an_app_that_runs_answers_500_and_goes_on(redis, caplog):
    app = make_app(client_of(redis))
    browser = logged_in(app)
    assert browser.post("/set/cart", json="x" * 70_000).status_code == 500
    assert "Keep such data in a store of its own" in caplog.text
    assert browser.get("/whoami").json == "ann"


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("basket", {1, 2}, r"session\['basket'\] cannot be stored.* builtins.set"),
        (b"bytes", 1, r"session\[b'bytes'\] cannot be stored.* bytes"),
        ("text", "\ud800", r"session\['text'\] cannot be stored"),
    ],
)
def test_what_cannot_be_stored_fails_where_it_is_put_in(app, key, value, fault):
    from flask import session

    with app.test_request_context():
        with pytest.raises(TypeError, match=fault):
            session[key] = value
        assert dict(session) == {}
        with pytest.raises(SessionTooLarge, match="'cart' with 7000"):
            session["cart"] = "x" * 70_000


def test_what_becomes_unfit_inside_a_value_is_named_at_the_end(app):
    from flask import session

    @app.post("/bad")
    def bad():
        session["basket"] = []
        session["basket"].append({1, 2})
        return "bad"

    with pytest.raises(TypeError, match=r"session\['basket'\] cannot be stored.*set"):
        logged_in(app).post("/bad")
