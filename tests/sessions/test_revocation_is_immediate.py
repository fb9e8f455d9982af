"""A user's sessions can be listed and ended; the next request in every worker is refused."""

import multiprocessing
import time

import pytest

from tests.sessions.pages import client_of, cookie_of, logged_in, make_app


@pytest.fixture(scope="module")
def redis_client(any_redis):
    return client_of(any_redis)


@pytest.fixture
def app(redis_client):
    return make_app(redis_client)


def ask(client, cookie):
    client.set_cookie("session", cookie)
    return client.get("/whoami").status_code


def worker(app, orders):
    """A forked worker process that returns the user of a cookie."""
    while True:
        cookie = orders.recv()
        if cookie is None:
            return
        orders.send(ask(app.test_client(), cookie))


@pytest.fixture
def workers(app):
    """Four forks of this process, each with a connection that it has used."""
    context = multiprocessing.get_context("fork")
    started = []
    for _ in range(4):
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(app, there), daemon=True)
        process.start()
        started.append((process, here))

    def everywhere(cookie):
        for _, pipe in started:
            pipe.send(cookie)
        return {pipe.recv() for _, pipe in started}

    yield everywhere
    for process, pipe in started:
        pipe.send(None)
        process.join(10)


def test_the_list_shows_every_session_and_marks_this_one(app):
    browsers = [logged_in(app, "list") for _ in range(3)]
    browsers[0].post("/logout")
    lines = browsers[1].get("/sessions").json
    assert len(lines) == 2
    assert [line["current"] for line in lines].count(True) == 1
    (info, *_) = app.session_interface.sessions_of("list")
    assert info.address == "127.0.0.1"
    assert info.user_agent.startswith("Werkzeug/")
    assert abs(info.created.timestamp() - time.time()) < 60
    assert info.last_seen >= info.created


def test_one_is_ended(app, workers):
    kept, ended = logged_in(app, "one"), logged_in(app, "one")
    handle = app.session_interface._store.handle(cookie_of(ended))
    assert workers(cookie_of(ended)) == {200}
    assert app.session_interface.revoke("one", handle)
    assert workers(cookie_of(ended)) == {401}
    assert workers(cookie_of(kept)) == {200}


def test_only_a_session_of_that_user_is_ended(app):
    mine = logged_in(app, "mine")
    handle = app.session_interface._store.handle(cookie_of(mine))
    interface = app.session_interface
    for user, guess in (("other", handle), ("mine", handle[:-1]), ("mine", "of"), ("mine", "")):
        assert not interface.revoke(user, guess)
    assert mine.get("/whoami").status_code == 200


def test_all_others_are_ended(app, workers):
    browsers = [logged_in(app, "others") for _ in range(5)]
    assert browsers[0].post("/revoke-others").json == 4
    assert workers(cookie_of(browsers[0])) == {200}
    for browser in browsers[1:]:
        assert workers(cookie_of(browser)) == {401}


def test_all_of_a_user_are_ended_and_nobody_elses(app, workers):
    browsers = [logged_in(app, "all") for _ in range(3)]
    bystander = logged_in(app, "bystander")
    assert app.session_interface.revoke_user("all") == 3
    for browser in browsers:
        assert workers(cookie_of(browser)) == {401}
    assert workers(cookie_of(bystander)) == {200}


def test_everybodys_are_ended_strangers_included(app, workers):
    member = logged_in(app, "member")
    stranger = app.test_client()
    stranger.post("/set/cart", json=1)
    assert workers(cookie_of(member)) == {200}
    app.session_interface.revoke_everybody()
    assert workers(cookie_of(member)) == {401}
    assert stranger.get("/get/cart").json is None
    assert app.session_interface.sessions_of("member") == []
    again = logged_in(app, "member")
    assert workers(cookie_of(again)) == {200}


def test_the_list_follows_a_rotation(app):
    browser = logged_in(app, "turner")
    for _ in range(3):
        browser.post("/rotate")
    assert [line["current"] for line in browser.get("/sessions").json] == [True]
    assert app.session_interface.revoke_user("turner") == 1
    assert browser.get("/whoami").status_code == 401


@pytest.mark.quiet
def test_a_thousand_sessions_in_a_tenth_of_a_second(app):
    interface = app.session_interface
    interface.sessions_per_user = 1000
    interface.init_app(app)
    times = []
    for _ in range(3):
        cookies = [cookie_of(logged_in(app, "crowd")) for _ in range(1000)]
        start = time.perf_counter()
        assert interface.revoke_user("crowd") == 1000
        times.append(time.perf_counter() - start)
        assert {ask(app.test_client(), cookie) for cookie in cookies[::100]} == {401}
    for _ in range(1000):
        logged_in(app, "crowd")
    start = time.perf_counter()
    assert len(interface.sessions_of("crowd")) == 1000
    listed = time.perf_counter() - start
    everybody = []
    for _ in range(3):
        start = time.perf_counter()
        interface.revoke_everybody()
        everybody.append(time.perf_counter() - start)
    print(
        f"1,000 sessions: revoked in {min(times) * 1000:.1f} ms, listed in {listed * 1000:.1f} ms"
    )
    assert min(times) < 0.1
    assert min(everybody) < 0.1
