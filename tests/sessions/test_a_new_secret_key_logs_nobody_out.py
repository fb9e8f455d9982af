"""Sessions of a key in SECRET_KEY_FALLBACKS are read, changed, moved, listed and ended like others,
at the same number of round trips.
"""

import pytest
from flask import session

from app.sessions import RedisSessionInterface
from tests.foreign_apps.club import create_club
from tests.sessions.pages import client_of, cookie_of, logged_in, make_app
from tests.sessions.test_costs_what_it_says import Meter

OLD, NEW = "the old secret key of the app", "the new secret key of the app"


def app_with(server, key, *fallbacks):
    app = make_app(client_of(server), key=key)
    app.config["SECRET_KEY_FALLBACKS"] = list(fallbacks)
    app.session_interface.init_app(app)
    return app


@pytest.fixture
def old(any_redis):
    return app_with(any_redis, OLD)


@pytest.fixture
def new(any_redis):
    return app_with(any_redis, NEW, "one in between, as secret", OLD)


def moved(app, browser):
    """The same browser, at *app*."""
    other = app.test_client()
    other.set_cookie("session", cookie_of(browser))
    return other


def test_it_goes_on_under_the_new_key(old, new):
    browser = moved(new, logged_in(old, "goer"))
    assert browser.get("/whoami").json == "goer"
    browser.post("/set/a", json=1)
    browser.post("/delete/user")
    assert browser.get("/all").json == {"a": 1}
    # A worker that has not heard of the new key serves it too, also after a change of its id.
    assert moved(old, browser).get("/all").json == {"a": 1}
    before = cookie_of(browser)
    browser.post("/rotate")
    assert cookie_of(browser) != before
    assert browser.get("/all").json == moved(old, browser).get("/all").json == {"a": 1}


def test_it_costs_no_round_trip_more(any_redis, old, new):
    meter, browser = Meter(any_redis), logged_in(old, "payer")
    moved(new, browser).post("/rotate")
    browser = moved(new, logged_in(old, "payer"))
    browser.get("/whoami")
    browser.post("/set/b", json=1)
    for trips, action in (
        (1, lambda: browser.get("/whoami")),
        (2, lambda: browser.post("/set/a", json=1)),
        (2, lambda: browser.post("/rotate")),
    ):
        assert meter.cost(action)[1] == trips


def test_lists_and_revocations_include_both(old, new):
    elder, younger = moved(new, logged_in(old, "lister")), logged_in(new, "lister")
    listed = elder.get("/sessions").json
    assert sorted(one["current"] for one in listed) == [False, True]
    assert elder.post("/revoke-others").json == 1
    assert younger.get("/whoami").status_code == 401
    assert elder.get("/whoami").status_code == 200
    # On the command line no request has told the interface of the fallbacks.
    with new.app_context():
        assert new.session_interface.revoke_user("lister") == 1
    assert elder.get("/whoami").status_code == 401


def test_one_is_ended_by_its_handle(old, new):
    elder = moved(new, logged_in(old, "ender"))
    (line,) = elder.get("/sessions").json
    assert new.session_interface.revoke("ender", line["handle"])
    assert elder.get("/whoami").status_code == 401


def test_a_logout_ends_it(old, new):
    browser = logged_in(old, "leaver")
    moved(new, browser).post("/logout")
    assert browser.get("/whoami").status_code == 401
    assert new.session_interface.sessions_of("leaver") == []


def test_a_login_moves_to_the_new_key(any_redis, old, new):
    browser = moved(new, logged_in(old, "mover"))
    browser.post("/login/somebody")
    only_new = app_with(any_redis, NEW)
    assert moved(only_new, browser).get("/whoami").json == "somebody"


@pytest.mark.parametrize("end", ["logout", "everybody"])
def test_a_request_in_flight_does_not_revive_what_ended(old, new, end):
    """Binding moves the session to the new key, which is no rename."""

    @new.post(f"/bind/{end}")
    def bind():
        assert session["user"] == "flyer"
        if end == "logout":
            moved(old, browser).post("/logout")
        else:
            new.session_interface.revoke_everybody()
        session.bind("flyer")
        return "bound"

    browser = moved(new, logged_in(old, "flyer"))
    assert browser.post(f"/bind/{end}").status_code == 200
    assert browser.get("/whoami").status_code == 401
    assert new.session_interface.sessions_of("flyer") == []


def test_without_the_fallback_it_is_over_rotated_or_not(any_redis, old, new):
    browser = moved(new, logged_in(old, "stayer"))
    browser.post("/rotate")
    assert moved(app_with(any_redis, NEW), browser).get("/whoami").status_code == 401


def test_the_key_to_come_can_be_a_fallback(any_redis, new):
    """Workers of both settings run while a new key is deployed."""
    browser = logged_in(new, "early")
    assert moved(app_with(any_redis, OLD, NEW), browser).get("/whoami").json == "early"


def club_with(server, key, *fallbacks):
    club = create_club(RedisSessionInterface(client_of(server), key=key, tls=False))
    club.config["SECRET_KEY_FALLBACKS"] = list(fallbacks)
    return club


def remembered(club, name):
    browser = club.test_client()
    browser.post(f"/login/{name}?remember")
    return browser


def with_token_of(club, browser):
    other = club.test_client()
    other.set_cookie("remember_token", cookie_of(browser, "remember_token"))
    return other


def who(browser):
    return browser.get("/").json["name"]


def test_a_remember_token_logs_in_and_is_replaced_by_one_of_the_new_key(any_redis):
    old, new = club_with(any_redis, OLD), club_with(any_redis, NEW, OLD)
    first = remembered(old, "recalled")
    # Two requests in parallel have the same token.
    browser, parallel = with_token_of(new, first), with_token_of(new, first)
    assert (who(browser), who(parallel)) == ("recalled", "recalled")
    only_new = club_with(any_redis, NEW)
    assert who(with_token_of(only_new, browser)) == "recalled"
    assert len(new.session_interface.sessions_of("recalled")) == 4
    assert new.session_interface.revoke_user("recalled") == 4
    for each in (browser, parallel, first):
        assert who(with_token_of(new, each)) is None


def test_a_remember_token_of_a_key_that_is_gone_is_no_theft(any_redis):
    token, alone = remembered(club_with(any_redis, OLD), "forgotten"), club_with(any_redis, NEW)
    present = remembered(alone, "forgotten")
    assert who(with_token_of(alone, token)) is None
    assert who(present) == "forgotten"


@pytest.mark.parametrize("path", ["/confirm", "/login/{}?remember", "/note/x"])
def test_a_logout_ends_the_remember_token_of_either_key(any_redis, path):
    name = f"leaver{len(path)}"
    browser = remembered(club_with(any_redis, OLD), name)
    new = club_with(any_redis, NEW, OLD)
    new.config["REMEMBER_COOKIE_REFRESH_EACH_REQUEST"] = True
    goer = moved(new, browser)
    goer.set_cookie("remember_token", cookie_of(browser, "remember_token"))
    goer.post(path.format(name))
    copies = [with_token_of(new, each) for each in (browser, goer)]
    goer.post("/logout")
    assert [who(each) for each in copies] == [None, None]
