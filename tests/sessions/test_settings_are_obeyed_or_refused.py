"""Flask's settings that these sessions cannot obey are refused at start, by name."""

from datetime import timedelta

import pytest
from flask import Flask, session

from app.sessions import RedisSessionInterface
from tests.sessions.pages import KEY, client_of


def app_with(server, options=None, **config):
    app = Flask("settings")
    app.config.update({"SECRET_KEY": KEY, "TESTING": True} | config)

    @app.post("/")
    def begin():
        session.permanent = True
        return "begun"

    RedisSessionInterface(client_of(server), **(options or {})).init_app(app)
    return app


def cookie_set_by(app):
    return app.test_client().post("/", base_url="https://localhost").headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("config", "start"),
    [
        ({}, "__Host-session="),
        ({"SESSION_COOKIE_NAME": "__Host-basket"}, "__Host-basket="),
        ({"SESSION_COOKIE_DOMAIN": "example.org"}, "__Secure-session="),
        ({"SESSION_COOKIE_PATH": "/shop"}, "__Secure-session="),
        ({"APPLICATION_ROOT": "/shop", "SESSION_COOKIE_NAME": "__Host-b"}, "__Secure-b="),
    ],
)
def test_with_tls_the_cookie_has_the_strictest_prefix_that_fits(redis, config, start):
    cookie = cookie_set_by(app_with(redis, **config))
    assert cookie.startswith(start)
    assert "Secure" in cookie.split("; ")


@pytest.mark.parametrize(
    ("config", "options", "fault"),
    [
        ({"SECRET_KEY": None}, {}, "SECRET_KEY is missing"),
        ({"SECRET_KEY": "short"}, {}, "SECRET_KEY: .* at least 16 bytes"),
        ({"SECRET_KEY_FALLBACKS": ["short"]}, {}, "SECRET_KEY_FALLBACKS: .* at least 16 bytes"),
        (
            {"PERMANENT_SESSION_LIFETIME": timedelta(hours=1)},
            {"idle": 1800},
            "PERMANENT_SESSION_LIFETIME is 3600 s, .* idle=1800 s",
        ),
        (
            {"PERMANENT_SESSION_LIFETIME": timedelta(hours=9)},
            {"absolute": 28800},
            "PERMANENT_SESSION_LIFETIME=32400 .* absolute=28800",
        ),
        ({"PERMANENT_SESSION_LIFETIME": 0}, {}, "PERMANENT_SESSION_LIFETIME=0 must be above 0"),
        (
            {"SESSION_COOKIE_NAME": "__Host-b"},
            {"tls": False},
            "__Host-b .* needs SESSION_COOKIE_SECURE",
        ),
        (
            {"SESSION_COOKIE_SAMESITE": "None"},
            {"tls": False},
            "session .* needs SESSION_COOKIE_SECURE",
        ),
        (
            {
                "SESSION_COOKIE_NAME": "__Host-b",
                "SESSION_COOKIE_SECURE": True,
                "SESSION_COOKIE_PATH": "/b",
            },
            {"tls": False},
            "__Host-b .* SESSION_COOKIE_PATH /",
        ),
    ],
)
def test_refused(redis, config, options, fault):
    with pytest.raises(ValueError, match=fault):
        app_with(redis, options, **config)


def test_an_interface_that_was_only_assigned_refuses_each_request(redis):
    app = app_with(redis)
    app.session_interface = RedisSessionInterface(client_of(redis), idle=600)
    app.config["PERMANENT_SESSION_LIFETIME"] = 3600
    for _ in range(2):
        with pytest.raises(ValueError, match="PERMANENT_SESSION_LIFETIME"):
            app.test_client().post("/")


def test_a_long_lifetime_is_kept_when_no_timeout_was_given(redis):
    app = app_with(redis, PERMANENT_SESSION_LIFETIME=timedelta(days=30))
    cookie = cookie_set_by(app)
    assert "Max-Age=2592000" in cookie
    session_id = cookie.partition(";")[0].partition("=")[2]
    key = app.session_interface._store._key(session_id)
    assert 2_591_990 < redis.connect().ttl(key) <= 2_592_000


def test_nothing_is_revoked_before_the_interface_knows_its_app(redis):
    with pytest.raises(RuntimeError, match="init_app"):
        RedisSessionInterface(client_of(redis), key=KEY).revoke_user("ann")
