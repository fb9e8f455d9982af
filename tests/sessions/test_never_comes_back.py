"""A request that overlaps the end of its session never brings the session back: 0 in 1,000."""

import threading

import pytest
from flask import session

from tests.sessions.pages import client_of, cookie_of, logged_in, make_app

TRIES = 250


@pytest.fixture(scope="module")
def redis_client(any_redis):
    return client_of(any_redis)


def overlapping(app):
    """A view that reads the session, waits while it is ended elsewhere, and then changes it."""
    loaded, ended = threading.Event(), threading.Event()

    @app.post("/overlap/<change>")
    def overlap(change):
        assert session["user"]
        loaded.set()
        assert ended.wait(10)
        if change == "write":
            session["late"] = True
        elif change == "rotate":
            session.rotate()
        elif change == "clear":
            user = session["user"]
            session.clear()
            session["user"] = user
        else:
            session.bind(session.user_id)
        return "changed"

    return loaded, ended


def log_out(app, browser, cookie):
    other = app.test_client()
    other.set_cookie("session", cookie)
    assert other.post("/logout").status_code == 200


def revoke_one(app, browser, cookie):
    interface = app.session_interface
    assert interface.revoke("ann", interface._store.handle(cookie))


def revoke_all(app, browser, cookie):
    """As a change of password does it."""
    assert app.session_interface.revoke_user("ann") == 1


def revoke_everybody(app, browser, cookie):
    app.session_interface.revoke_everybody()


def expire(app, browser, cookie):
    app.now += 10_000


@pytest.mark.parametrize("change", ["write", "rotate", "clear", "bind"])
@pytest.mark.parametrize("end", [log_out, revoke_one, revoke_all, revoke_everybody, expire])
def test_a_request_in_flight_does_not_revive_what_ended(redis_client, end, change):
    app = make_app(redis_client, clock=lambda: app.now)
    app.now = 1_700_000_000.0
    loaded, ended = overlapping(app)
    for _ in range(TRIES // 5):
        browser = logged_in(app)
        cookie = cookie_of(browser)
        loaded.clear()
        ended.clear()
        answers = []

        def request(browser=browser, answers=answers):
            answers.append(browser.post(f"/overlap/{change}"))

        request = threading.Thread(target=request)
        request.start()
        assert loaded.wait(10)
        end(app, browser, cookie)
        ended.set()
        request.join()
        (answer,) = answers
        assert answer.status_code == 200
        assert browser.get("/whoami").status_code == 401, (end, change)
        replay = app.test_client()
        replay.set_cookie("session", cookie)
        assert replay.get("/whoami").status_code == 401
        if end is not revoke_everybody and end is not expire:
            assert app.session_interface.sessions_of("ann") == []


def test_the_end_of_all_sessions_between_two_commands_of_a_request(redis_client, monkeypatch):
    """The request has ended its session and not yet stored what it keeps of it."""
    app = make_app(redis_client)
    loaded, ended = overlapping(app)
    ended.set()
    browser = logged_in(app)
    store = app.session_interface._store
    end = store.end

    def end_all_afterwards(*arguments, **options):
        found = end(*arguments, **options)
        make_app(redis_client).session_interface.revoke_everybody()
        return found

    monkeypatch.setattr(store, "end", end_all_afterwards)
    assert browser.post("/overlap/clear").status_code == 200
    assert loaded.is_set() and browser.get("/whoami").status_code == 401


def test_free_running_races_never_revive_a_session(redis_client):
    """Two writes, a rotation and a logout start together and run unsynchronised."""
    app = make_app(redis_client)
    revived = 0
    for number in range(TRIES):
        browser = logged_in(app, f"user-{number}")
        cookie = cookie_of(browser)
        start = threading.Barrier(4)

        def write(path, cookie=cookie, start=start):
            client = app.test_client()
            client.set_cookie("session", cookie)
            start.wait()
            client.post(path, json=1)

        threads = [
            threading.Thread(target=write, args=(path,))
            for path in ("/set/a", "/rotate", "/set/b", "/logout")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        replay = app.test_client()
        replay.set_cookie("session", cookie)
        revived += replay.get("/whoami").status_code != 401
    assert revived == 0
