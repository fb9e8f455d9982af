"""Flask-Login's remember-me is a token of the server: it changes with each use and can be ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import flask_login
import pytest
from flask import Flask, request, session
from flask.testing import FlaskClient

from app.sessions import RedisSessionInterface
from tests.foreign_apps.club import KEY, Member, create_club
from tests.servers.redis import RedisServer
from tests.sessions.pages import client_of, cookie_of

COOKIE = "remember_token"
_numbers = count(1)


@pytest.fixture
def clock() -> dict[str, float]:
    return {"now": datetime.now(UTC).timestamp()}


@pytest.fixture
def sessions(redis: RedisServer, clock: dict[str, float]) -> RedisSessionInterface:
    return RedisSessionInterface(
        client_of(redis), key=KEY, tls=False, clock=lambda: clock["now"], absolute=3600
    )


@pytest.fixture
def club(sessions: RedisSessionInterface) -> Flask:
    return create_club(sessions)


@pytest.fixture
def name() -> str:
    return f"ada-{next(_numbers)}"


def remembered(club: Flask, name: str, query: str = "") -> FlaskClient:
    browser = club.test_client()
    assert browser.post(f"/login/{name}?remember{query}").text == "True"
    return browser


def with_token(club: Flask, token: str) -> FlaskClient:
    browser = club.test_client()
    browser.set_cookie(COOKIE, token)
    return browser


def who(browser: FlaskClient) -> Any:
    return browser.get("/").get_json()["name"]


def test_it_logs_in_when_the_session_has_ended_and_not_freshly(club: Flask, name: str) -> None:
    browser = remembered(club, name)
    assert browser.get("/").get_json()["remembered"] is True
    browser.delete_cookie("session")
    answer = browser.get("/").get_json()
    assert (answer["name"], answer["fresh"], answer["remembered"]) == (name, False, True)
    assert browser.get("/settings").status_code == 401
    browser.post("/confirm")
    assert browser.get("/settings").status_code == 200


def test_without_remember_there_is_none(club: Flask, name: str) -> None:
    browser = club.test_client()
    browser.post(f"/login/{name}")
    assert browser.get_cookie(COOKIE) is None
    assert browser.get("/").get_json()["remembered"] is False


def test_redis_does_not_hold_it(club: Flask, redis: RedisServer, name: str) -> None:
    browser = remembered(club, name)
    tokens = [cookie_of(browser, COOKIE)]
    browser.delete_cookie("session")
    assert who(browser) == name
    tokens.append(cookie_of(browser, COOKIE))
    files = [path for path in (redis.folder / "data").rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    assert b"@replaced" in stored
    for token in tokens:
        assert token[24:].encode() not in stored


def test_its_cookie_obeys_the_settings(club: Flask, name: str) -> None:
    club.config.update(
        REMEMBER_COOKIE_NAME="mind",
        REMEMBER_COOKIE_DURATION=timedelta(days=3),
        REMEMBER_COOKIE_PATH="/",
        REMEMBER_COOKIE_DOMAIN="club.example",
        REMEMBER_COOKIE_SECURE=True,
        REMEMBER_COOKIE_HTTPONLY=False,
        REMEMBER_COOKIE_SAMESITE="Strict",
    )
    browser = club.test_client()
    there = "https://club.example"
    browser.post(f"/login/{name}?remember", base_url=there)
    cookie = browser.get_cookie("mind", "club.example")
    assert cookie is not None and cookie.expires is not None
    assert abs((cookie.expires - datetime.now(UTC)).total_seconds() - 3 * 86400) < 60
    assert (cookie.secure, cookie.http_only, cookie.same_site) == (True, False, "Strict")
    browser.delete_cookie("session", domain="club.example")
    browser.delete_cookie("session")
    assert browser.get("/", base_url=there).get_json()["name"] == name
    browser.post("/logout", base_url=there)
    assert browser.get_cookie("mind", "club.example") is None


def test_it_is_as_safe_as_the_session_cookie_unless_told(redis: RedisServer, name: str) -> None:
    club = create_club(RedisSessionInterface(client_of(redis), key=KEY, tls=True))
    answer = club.test_client().post(f"/login/{name}?remember", base_url="https://localhost")
    (cookie,) = [line for line in answer.headers.getlist("Set-Cookie") if COOKIE in line]
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert f"; {attribute}" in cookie


def test_it_ends_when_its_duration_has_passed(
    club: Flask, clock: dict[str, float], name: str
) -> None:
    browser = remembered(club, name, "&days=2")
    clock["now"] += 86400
    assert who(browser) == name
    clock["now"] += 86400 + 60
    assert who(browser) is None
    assert browser.get_cookie(COOKIE) is None


def test_it_slides_with_refresh_each_request(
    club: Flask, clock: dict[str, float], name: str
) -> None:
    club.config["REMEMBER_COOKIE_REFRESH_EACH_REQUEST"] = True
    club.config["REMEMBER_COOKIE_DURATION"] = timedelta(days=2)
    browser = remembered(club, name)
    for _ in range(4):
        clock["now"] += 86400
        assert who(browser) == name
        clock["now"] += 600
        assert who(browser) == name
    clock["now"] += 2 * 86400 + 60
    assert who(browser) is None


def test_each_use_replaces_it_and_an_old_one_ends_all_that_came_of_it(
    club: Flask, clock: dict[str, float], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser, elsewhere = remembered(club, name), remembered(club, name)
    stolen = cookie_of(browser, COOKIE)
    browser.delete_cookie("session")
    assert who(browser) == name
    assert cookie_of(browser, COOKIE) != stolen
    clock["now"] += 61
    assert who(with_token(club, stolen)) is None
    assert who(browser) is None, "the session that the token began has ended"
    browser.delete_cookie("session")
    assert who(browser) is None, "so has the token"
    assert who(elsewhere) == name, "another browser's login goes on"
    assert f"user {name}: an old remember token was used" in caplog.text


def test_a_thief_who_comes_first_is_found_out(
    club: Flask, clock: dict[str, float], name: str
) -> None:
    browser = remembered(club, name)
    thief = with_token(club, cookie_of(browser, COOKIE))
    assert who(thief) == name
    clock["now"] += 1800  # the session of the owner has timed out
    assert who(browser) is None
    assert who(thief) is None


def test_requests_in_parallel_all_log_in_and_get_one_successor(club: Flask, name: str) -> None:
    token = cookie_of(remembered(club, name), COOKIE)
    browsers = [with_token(club, token) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(who, browsers)) == [name] * 8
    successors = {cookie_of(browser, COOKIE) for browser in browsers}
    assert len(successors) == 1 and token not in successors
    assert who(with_token(club, successors.pop())) == name


def log_out(browser: FlaskClient, _sessions: RedisSessionInterface, _name: str) -> None:
    browser.post("/logout")


def log_out_after_the_session(
    browser: FlaskClient, _sessions: RedisSessionInterface, _name: str
) -> None:
    browser.delete_cookie("session")
    browser.post("/logout")


def log_out_without_the_cookie(
    browser: FlaskClient, _sessions: RedisSessionInterface, _name: str
) -> None:
    browser.delete_cookie(COOKIE)
    browser.post("/logout")


def revoke_user(_browser: FlaskClient, sessions: RedisSessionInterface, name: str) -> None:
    assert sessions.revoke_user(name) == 1


def revoke_one(_browser: FlaskClient, sessions: RedisSessionInterface, name: str) -> None:
    (one,) = sessions.sessions_of(name)
    assert sessions.revoke(name, one.handle)


def revoke_everybody(_browser: FlaskClient, sessions: RedisSessionInterface, _name: str) -> None:
    sessions.revoke_everybody()


@pytest.mark.parametrize(
    "end",
    [
        log_out,
        log_out_after_the_session,
        log_out_without_the_cookie,
        revoke_user,
        revoke_one,
        revoke_everybody,
    ],
)
def test_it_ends_with(
    club: Flask, sessions: RedisSessionInterface, name: str, end: Callable[..., None]
) -> None:
    browser = remembered(club, name)
    kept = cookie_of(browser, COOKIE)
    end(browser, sessions, name)
    assert who(browser) is None
    copy = with_token(club, kept)
    assert who(copy) is None
    assert copy.get_cookie(COOKIE) is None, "the browser forgets a token that is of no use"
    assert sessions.sessions_of(name) == []


def test_a_logout_ends_what_requests_in_parallel_have_begun(club: Flask, name: str) -> None:
    """The browser may receive the answer of one of them after that of the logout."""
    token = cookie_of(remembered(club, name), COOKIE)
    one, two = with_token(club, token), with_token(club, token)
    assert [who(one), who(two)] == [name] * 2
    assert cookie_of(one) != cookie_of(two)
    one.post("/logout")
    assert who(two) is None


def test_ending_all_other_sessions_ends_all_tokens(
    club: Flask, sessions: RedisSessionInterface, name: str
) -> None:
    @club.post("/new-password")
    def new_password() -> str:
        mine: Any = session._get_current_object()  # type: ignore[attr-defined]
        return str(sessions.revoke_user(name, except_session=mine))

    browser, elsewhere = remembered(club, name), remembered(club, name)
    assert browser.post("/new-password").text == "1"
    assert who(browser) == name
    for each in (browser, elsewhere):
        each.delete_cookie("session")
        assert who(each) is None


def test_another_user_on_the_same_browser_ends_it(club: Flask, name: str) -> None:
    browser = remembered(club, name)
    token = cookie_of(browser, COOKIE)
    browser.post(f"/login/other-{name}?remember")
    assert who(with_token(club, token)) is None
    browser.delete_cookie("session")
    assert who(browser) == f"other-{name}"


@pytest.mark.parametrize("looks", [True, False])
def test_another_user_who_is_not_remembered_ends_it_too(
    club: Flask, sessions: RedisSessionInterface, name: str, looks: bool
) -> None:
    """Whether or not the page of the login looks who is there."""

    @club.post("/in/<other>")
    def other_login(other: str) -> str:
        if looks:
            assert flask_login.current_user.id == name
        return str(flask_login.login_user(Member(other)))

    browser = remembered(club, name)
    token = cookie_of(browser, COOKIE)
    browser.delete_cookie("session")
    other = f"other-{name}"
    browser.post(f"/in/{other}")
    assert who(browser) == other
    assert browser.get_cookie(COOKIE) is None
    assert who(with_token(club, token)) is None
    assert len(sessions.sessions_of(other)) == 1 and sessions.sessions_of(name) == []


def test_the_same_user_stays_remembered(club: Flask, name: str) -> None:
    browser = remembered(club, name)
    browser.post(f"/login/{name}")
    browser.delete_cookie("session")
    browser.post(f"/login/{name}")
    browser.delete_cookie("session")
    assert who(browser) == name


def test_a_login_by_token_that_overlaps_a_logout_does_not_last(club: Flask, name: str) -> None:
    @club.get("/slow")
    def overlapping() -> str:
        assert flask_login.current_user.id == name
        browser.post("/logout")
        return "done"

    browser = remembered(club, name)
    slow = with_token(club, cookie_of(browser, COOKIE))
    assert slow.get("/slow").text == "done"
    assert who(slow) is None


def test_a_new_token_is_withdrawn_when_its_session_has_ended(club: Flask, name: str) -> None:
    browser, slow = club.test_client(), club.test_client()

    @club.post("/slow")
    def overlapping() -> str:
        flask_login.login_user(flask_login.current_user._get_current_object(), remember=True)
        browser.post("/logout")
        return "done"

    browser.post(f"/login/{name}")
    slow.set_cookie("session", cookie_of(browser))
    answer = slow.post("/slow")
    assert answer.text == "done" and COOKIE not in str(answer.headers)
    assert who(slow) is None


@pytest.mark.parametrize("forged", ["", "x", "A" * 67, "é" * 67, "ada|" + "0" * 128])
def test_a_forged_one_logs_nobody_in_and_is_deleted(club: Flask, forged: str) -> None:
    browser = with_token(club, forged)
    assert who(browser) is None
    assert browser.get_cookie(COOKIE) is None


def test_flask_logins_own_cookie_is_refused(club: Flask, name: str) -> None:
    with club.test_request_context():
        signed = flask_login.encode_cookie(name)
    assert who(with_token(club, signed)) is None


def test_a_token_of_another_user_cannot_be_made_from_ones_own(club: Flask, name: str) -> None:
    mine, theirs = (cookie_of(remembered(club, each), COOKIE) for each in (name, f"eve-{name}"))
    for forged in (theirs[:12] + mine[12:], theirs[:24] + mine[24:], mine[:24] + theirs[24:]):
        browser = with_token(club, forged)
        assert who(browser) is None


def test_the_app_may_read_the_cookie(club: Flask, name: str) -> None:
    @club.get("/curious")
    def curious() -> str:
        return str(len(request.cookies.get(COOKIE, "")))

    token = cookie_of(remembered(club, name), COOKIE)
    browser = with_token(club, token)
    assert int(browser.get("/curious").text) > 0
    assert who(browser) == name
