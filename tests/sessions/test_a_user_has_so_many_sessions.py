"""A user has at most `sessions_per_user` sessions: a login beyond that ends the oldest."""

from itertools import count

from app.sessions import RedisSessionInterface
from tests.sessions.pages import client_of, logged_in, make_app


def test_the_oldest_end(redis, monkeypatch):
    monkeypatch.setattr(RedisSessionInterface, "sessions_per_user", 5)
    # Two logins in the same millisecond are equally old: each look at this clock is a second later.
    seconds = count(1_800_000_000)
    app = make_app(client_of(redis), clock=lambda: next(seconds))
    browsers = [logged_in(app) for _ in range(8)]
    others = logged_in(app, "ben")
    assert len(app.session_interface.sessions_of("ann")) == 5
    answers = [browser.get("/whoami").status_code for browser in browsers]
    assert answers == [401] * 3 + [200] * 5
    assert others.get("/whoami").status_code == 200


def test_the_default_is_a_hundred(redis):
    app = make_app(client_of(redis))
    for _ in range(103):
        logged_in(app, "cleo")
    assert len(app.session_interface.sessions_of("cleo")) == 100
