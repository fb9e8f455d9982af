"""The public interface of Flask-Login does on these sessions what its documentation says."""

from __future__ import annotations

from collections.abc import Callable

import flask_login
import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from flask_login import FlaskLoginClient

from app.sessions import RedisSessionInterface
from tests.foreign_apps.club import KEY, Member, create_club
from tests.servers.redis import RedisServer
from tests.sessions.pages import client_of, cookie_of


@pytest.fixture
def club(redis: RedisServer) -> Flask:
    return create_club(RedisSessionInterface(client_of(redis), key=KEY, tls=False))


def name_of(browser: FlaskClient) -> object:
    return browser.get("/").get_json()["name"]


def sessions_of(club: Flask, name: str) -> int:
    interface = club.session_interface
    assert isinstance(interface, RedisSessionInterface)
    return len(interface.sessions_of(name))


def test_a_login_lasts_and_a_logout_ends_it(club: Flask) -> None:
    browser = club.test_client()
    assert browser.get("/members").status_code == 401
    assert browser.post("/login/ada").text == "True"
    assert name_of(browser) == "ada"
    assert browser.get("/members").text == "welcome"
    assert browser.post("/logout").text == "True"
    assert name_of(browser) is None
    assert browser.get("/members").status_code == 401


def test_a_login_changes_the_id_and_keeps_the_contents(club: Flask) -> None:
    browser, attacker = club.test_client(), club.test_client()
    browser.post("/note/milk")
    planted = cookie_of(browser)
    browser.post("/login/ada")
    assert cookie_of(browser) != planted
    assert browser.get("/").get_json()["note"] == "milk"
    attacker.set_cookie("session", planted)
    assert attacker.get("/").get_json() == club.test_client().get("/").get_json()


def test_a_logout_changes_the_id_and_keeps_the_contents(club: Flask) -> None:
    browser, thief = club.test_client(), club.test_client()
    browser.post("/login/ada")
    browser.post("/note/milk")
    thief.set_cookie("session", cookie_of(browser))
    answer = browser.post("/logout")
    assert "Clear-Site-Data" not in answer.headers
    after = browser.get("/").get_json()
    assert (after["note"], after["flashes"]) == ("milk", ["See you."])
    assert name_of(thief) is None and thief.get("/").get_json()["note"] is None


def test_another_login_sees_nothing_of_the_first(club: Flask) -> None:
    browser = club.test_client()
    browser.post("/login/ada")
    browser.post("/note/milk")
    browser.post("/login/bob")
    answer = browser.get("/").get_json()
    assert (answer["name"], answer["note"]) == ("bob", None)


def test_sessions_are_listed_and_revoked_by_user(club: Flask) -> None:
    browsers = [club.test_client() for _ in range(3)]
    for browser in browsers:
        browser.post("/login/carol")
    assert sessions_of(club, "carol") == 3
    browsers[0].post("/logout")
    assert sessions_of(club, "carol") == 2
    interface = club.session_interface
    assert isinstance(interface, RedisSessionInterface)
    assert interface.revoke_user("carol") == 2
    assert [name_of(browser) for browser in browsers] == [None] * 3


def test_a_request_that_overlaps_a_logout_does_not_undo_it(club: Flask) -> None:
    browser, slow = club.test_client(), club.test_client()

    @club.post("/slow")
    def overlapping() -> str:
        assert flask_login.current_user.id == "erin"
        browser.post("/logout")
        flask_login.confirm_login()
        return "done"

    browser.post("/login/erin")
    slow.set_cookie("session", cookie_of(browser))
    assert slow.post("/slow").text == "done"
    assert name_of(slow) is None and sessions_of(club, "erin") == 0


def test_a_suspended_user_needs_force(club: Flask) -> None:
    browser = club.test_client()
    assert browser.post("/login/suspended").text == "False"
    assert sessions_of(club, "suspended") == 0
    assert browser.post("/login/suspended?force").text == "True"
    assert sessions_of(club, "suspended") == 1


def test_a_login_is_fresh_until_it_is_not_and_confirming_makes_it_fresh(club: Flask) -> None:
    browser = club.test_client()
    browser.post("/login/ada")
    assert browser.get("/settings").text == "your settings"
    browser.post("/login/ada?stale")
    assert browser.get("/settings").status_code == 401
    stale = cookie_of(browser)
    browser.post("/confirm")
    assert browser.get("/settings").text == "your settings"
    assert cookie_of(browser) != stale


def test_a_user_who_is_gone_is_logged_out(club: Flask) -> None:
    browser = club.test_client()
    browser.post("/login/ada?remember")
    browser.post("/leave-for-ever")
    assert name_of(browser) is None


def test_a_request_loader_logs_in_without_a_session(club: Flask) -> None:
    browser = club.test_client()
    assert browser.get("/members", headers={"X-Key": "robots only"}).text == "welcome"
    assert browser.get_cookie("session") is None and name_of(browser) is None


def test_handlers_answer(club: Flask) -> None:
    logins = club.login_manager  # type: ignore[attr-defined]
    logins.unauthorized_handler(lambda: ("who are you?", 418))
    logins.needs_refresh_handler(lambda: ("is it still you?", 418))
    browser = club.test_client()
    assert browser.get("/members").text == "who are you?"
    browser.post("/login/ada?stale")
    assert browser.get("/settings").text == "is it still you?"


def test_views_get_the_next_page(club: Flask) -> None:
    logins = club.login_manager  # type: ignore[attr-defined]
    logins.login_view = logins.refresh_view = "front"
    browser = club.test_client()
    assert browser.get("/members").location == "/?next=%2Fmembers"
    assert browser.get("/").get_json()["flashes"] == [flask_login.LOGIN_MESSAGE]
    browser.post("/login/ada?stale")
    assert browser.get("/settings").location == "/?next=%2Fsettings"


@pytest.mark.parametrize(
    ("mode", "name", "fresh"),
    [("basic", "ada", False), ("strong", None, False), (None, "ada", True)],
)
def test_session_protection(club: Flask, mode: str | None, name: object, fresh: bool) -> None:
    club.login_manager.session_protection = mode  # type: ignore[attr-defined]
    browser, thief = club.test_client(), club.test_client()
    browser.post("/login/ada", headers={"User-Agent": "Firefox"})
    thief.set_cookie("session", cookie_of(browser))
    answer = thief.get("/", headers={"User-Agent": "curl"}).get_json()
    assert (answer["name"], answer["fresh"]) == (name, fresh)


def test_the_test_client_of_flask_login(club: Flask) -> None:
    club.test_client_class = FlaskLoginClient
    with club.test_client(user=Member("dora")) as browser:
        assert name_of(browser) == "dora"
    assert sessions_of(club, "dora") == 1


def test_signals_are_sent(club: Flask) -> None:
    heard: list[str] = []
    names = ("logged_in", "logged_out", "login_confirmed", "unauthorized", "needs_refresh")

    def listener(name: str) -> Callable[..., None]:
        return lambda *_args, **_more: heard.append(name)

    kept = [listener(name) for name in names]
    for name, listen in zip(names, kept, strict=True):
        getattr(flask_login, f"user_{name}").connect(listen, club)
    browser = club.test_client()
    for method, path in [
        ("GET", "/members"),
        ("POST", "/login/ada?stale"),
        ("GET", "/settings"),
        ("POST", "/confirm"),
        ("POST", "/logout"),
    ]:
        browser.open(path, method=method)
    assert heard == ["unauthorized", "logged_in", "needs_refresh", "login_confirmed", "logged_out"]


def test_an_app_may_bind_with_an_id_and_an_epoch_of_its_own(club: Flask) -> None:
    @club.post("/bound")
    def bound() -> str:
        session.bind("frank's id", "epoch 1")  # type: ignore[attr-defined]
        return str(flask_login.login_user(Member("frank"), remember=True))

    @club.get("/epoch")
    def epoch() -> str:
        name = flask_login.current_user.id
        return f"{name} {session.epoch}"  # type: ignore[attr-defined]

    browser = club.test_client()
    browser.post("/bound")
    assert browser.get("/epoch").text == "frank epoch 1"
    browser.delete_cookie("session")
    assert browser.get("/epoch").text == "frank epoch 1"
    assert sessions_of(club, "frank's id") == 2 and sessions_of(club, "frank") == 0


def test_two_logins_in_one_request_are_the_last_ones(club: Flask) -> None:
    @club.post("/both")
    def both() -> str:
        flask_login.login_user(Member("gina"))
        return str(flask_login.login_user(Member("hugo")))

    browser = club.test_client()
    browser.post("/both")
    assert name_of(browser) == "hugo"
    assert (sessions_of(club, "gina"), sessions_of(club, "hugo")) == (0, 1)


def test_a_page_that_asks_for_nobody_asks_redis_nothing(club: Flask) -> None:
    browser = club.test_client()
    browser.post("/login/ada?remember")
    answer = browser.get("/about")
    assert answer.vary.as_set() == set() and "Set-Cookie" not in answer.headers
