"""An unused session ends after the idle timeout, any session after the absolute one."""

import pytest
from flask import session

from tests.sessions.pages import client_of, cookie_of, logged_in, make_app

IDLE, ABSOLUTE = 1800, 28800


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(any_redis, clock):
    return make_app(client_of(any_redis), idle=IDLE, absolute=ABSOLUTE, clock=clock)


def test_idle(app, clock):
    browser = logged_in(app)
    clock.now += IDLE - 1
    assert browser.get("/whoami").status_code == 200
    clock.now += IDLE
    assert browser.get("/whoami").status_code == 401


def test_absolute_however_busy(app, clock):
    browser = logged_in(app)
    for _ in range(15):
        clock.now += IDLE
        clock.now -= 1
        assert browser.get("/whoami").status_code == 200
    clock.now += IDLE - 1
    assert browser.get("/whoami").status_code == 200
    clock.now += 15.5
    assert browser.get("/whoami").status_code == 200
    clock.now += 1
    assert browser.get("/whoami").status_code == 401


def test_rotation_does_not_prolong(app, clock):
    browser = logged_in(app)
    for _ in range(ABSOLUTE // 1000):
        clock.now += 1000
        assert browser.get("/whoami").status_code == 200
        browser.post("/rotate")
    clock.now += ABSOLUTE % 1000
    assert browser.get("/whoami").status_code == 401


def test_a_new_login_begins_anew(app, clock):
    browser = logged_in(app)
    browser.post("/logout")
    clock.now += ABSOLUTE - 1
    browser.post("/login/ann")
    clock.now += IDLE - 1
    assert browser.get("/whoami").status_code == 200


def test_looking_at_the_list_keeps_nobody_alive(app, clock):
    interface = app.session_interface
    logged_in(app, "idler")
    clock.now += IDLE - 1
    assert len(interface.sessions_of("idler")) == 1
    clock.now += 1
    assert interface.sessions_of("idler") == []


def test_redis_forgets_by_itself(any_redis):
    """By Redis's clock: without an injected one, no worker's clock counts."""
    app = make_app(client_of(any_redis), idle=IDLE, absolute=ABSOLUTE)
    browser = logged_in(app, "zoe")
    key = app.session_interface._store._key(cookie_of(browser))
    server = any_redis.connect()
    assert IDLE - 10 < server.ttl(key) <= IDLE
    server.pexpire(key, 5000)
    server.hset(key, "@seen", int(server.hget(key, "@seen")) - 5000)
    assert browser.get("/whoami").status_code == 200
    assert IDLE - 10 < server.ttl(key) <= IDLE
    now = server.time()[0] * 1000
    server.hset(key, "@end", now + 7000)
    server.hset(key, "@seen", now - 5000)
    assert browser.get("/whoami").status_code == 200
    assert server.ttl(key) <= 7
    server.hset(key, "@end", now - 1)
    assert browser.get("/whoami").status_code == 401
    assert not server.exists(key)


@pytest.mark.parametrize("looks", [False, True])
def test_a_cookie_of_a_session_that_has_ended_does_not_hinder_a_login(app, clock, looks):
    """`session.clear()`, then the user: the login of Flask's tutorial."""

    @app.post("/in")
    def log_in():
        if looks:
            assert "user" not in session
        session.clear()
        session["user"] = "ben"
        return "logged in"

    browser = logged_in(app)
    clock.now += IDLE + 1
    assert browser.post("/in").status_code == 200
    assert browser.get("/whoami").json == "ben"
